import { action } from "galley";

// A transaction cannot reach the provider, and need not: that the card is to be charged is
// part of this commit, and the job does it as soon as the commit is there.
export default action("top_up", async (tx, { amount, card }) => {
  const { id } = await tx.jobs.charge_card({ user: tx.auth.id, amount, card });
  return { job: id };
});
