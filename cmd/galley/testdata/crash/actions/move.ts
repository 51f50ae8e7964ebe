import { action } from "galley";

export default action("move", async (tx, { from, to, amount }) => {
  const a = await tx.db.accounts.get(from);
  const b = await tx.db.accounts.get(to);
  const { balance } = await tx.db.accounts.update(a, { balance: a.balance - amount });
  await tx.db.accounts.update(b, { balance: b.balance + amount });
  return { left: balance };
});
