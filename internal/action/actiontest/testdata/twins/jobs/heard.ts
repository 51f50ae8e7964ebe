import { job } from "galley";

export default job("heard", async (job, like) => {
  await job.transaction("note", (tx) => {
    tx.db.logs.insert({ text: "heard of " + like.post });
  });
});
