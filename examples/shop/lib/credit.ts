import type { Id, Tx } from "galley";

// A payment as the provider tells of it.
export interface Payment {
  id: string;
  amount: number;
  metadata: { user: Id<"users"> };
}

// credit puts a payment into the wallet of who made it. The job and the provider's own word
// both come here, and `unique` on the payment makes sure that the first one counts alone.
export async function credit(tx: Tx<null>, { id, amount, metadata: { user } }: Payment) {
  if (await tx.db.top_ups.first({ payment: id })) return;
  const { wallet } = await tx.db.users.get(user);
  await tx.db.users.update(user, { wallet: wallet + amount });
  await tx.db.top_ups.insert({ user, payment: id, amount });
  tx.log("wallet credited", { payment: id });
}
