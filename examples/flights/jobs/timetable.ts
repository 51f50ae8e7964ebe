import { job } from "galley";
import { plan } from "../lib/plan";

export default job("timetable", async (job) => {
  await job.transaction("plan", (tx) => {
    for (const connection of tx.db.connections.list()) plan(tx, connection);
  });
});
