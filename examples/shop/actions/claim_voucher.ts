import { action, refuse } from "galley";

// The question about an earlier claim is here for the sake of its sentence. What makes a
// second claim impossible is `unique: [[voucher, user]]`, also for two requests at once.
export default action("claim_voucher", async (tx, input) => {
  const voucher = await tx.db.vouchers.first({ code: input.code });
  if (!voucher) throw refuse("voucher_invalid");

  const user = tx.auth.id;
  const claimed = await tx.db.redemptions.first({ voucher: voucher.id, user });
  if (claimed) throw refuse("voucher_claimed");

  await tx.db.vouchers.update(voucher, { uses: voucher.uses + 1 });
  await tx.db.redemptions.insert({ voucher: voucher.id, user });
  const { wallet } = await tx.db.users.update(tx.auth, {
    wallet: tx.auth.wallet + voucher.amount,
  });
  return { amount: voucher.amount, balance: wallet };
});
