import { action, add } from "galley";
import { find } from "../customer";

export default action("payment", async (tx, input) => {
  const { amount } = input;
  const c = await find(tx, input);
  const district = await tx.db.districts.update(input.district, { ytd: add(amount) });
  const warehouse = await tx.db.warehouses.update(district.warehouse, { ytd: add(amount) });
  let data = c.data;
  if (c.credit === "BC") {
    const home = await tx.db.districts.get(c.district);
    const here = `${district.number} ${warehouse.number}`;
    data = `${c.number} ${home.number} ${here} ${amount} ${data}`.slice(0, 500);
  }
  const customer = await tx.db.customers.update(c, {
    balance: c.balance - amount,
    ytd_payment: c.ytd_payment + amount,
    payments: c.payments + 1,
    data,
  });
  await tx.db.history.insert({
    customer: c.id, district: district.id, amount, data: `${warehouse.name}    ${district.name}`,
  });
  return {
    customer: c.id, balance: customer.balance, credit: c.credit,
    data: c.credit === "BC" ? data.slice(0, 200) : null,
  };
});
