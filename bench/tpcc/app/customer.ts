import { refuse, type Id, type Tx } from "galley";

// Finds a customer by id, or the one in the middle of those in a district who bear the
// name, in the order of their first names.
export async function find(
  tx: Tx,
  by: { customer?: Id<"customers"> | null; home?: Id<"districts"> | null; last?: string | null },
) {
  if (by.customer) return tx.db.customers.get(by.customer);
  if (!by.home || !by.last) throw refuse("invalid_input");
  const where = { district: by.home, last: by.last };
  const all = await tx.db.customers.list({ where, sort: "first" });
  if (all.length === 0) throw refuse("not_found");
  return all[Math.ceil(all.length / 2) - 1]!;
}
