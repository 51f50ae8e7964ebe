import { fail, job } from "galley";

export default job("pack", async (job, { name, slow }) => {
  job.progress(1, 3);
  if (slow) await job.sleep("rest", "1h");
  if (name === "bad") throw fail("too_bad");
  return { name, by: [1, 2] };
});
