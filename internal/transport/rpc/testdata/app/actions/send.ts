import { action } from "galley";

export default action("send", (tx, { name, slow }) => {
  return { job: tx.jobs.pack({ name, slow }).id };
});
