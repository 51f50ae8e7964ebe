import { job, cel } from "galley";

const week = 7 * 24 * 3600_000;

export default job("forget", async (job) => {
  await job.transaction("forget", (tx) => {
    const before = new Date(tx.now.getTime() - week);
    const late = tx.db.users.list({ where: cel`verified == false && created < ${before}`, limit: 500 });
    for (const user of late) tx.db.users.delete(user);
    tx.log("forgotten", { readers: late.length });
  });
});
