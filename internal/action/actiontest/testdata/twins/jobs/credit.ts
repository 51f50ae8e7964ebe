import { job, fail } from "galley";

export default job("credit", async (job, { user, amount }) => {
  const paid = await job.step("pay", async ({ key, fetch }) => {
    const res = await fetch("http://pay.example/pay", {
      method: "POST",
      headers: { Authorization: "Bearer " + job.secret("PAY_KEY"), "Idempotency-Key": key },
      body: new URLSearchParams({ amount: String(amount) }),
    });
    if (res.status === 402) throw fail("declined");
    if (!res.ok) throw new Error("it answered " + res.status);
    return (await res.json()) as { id: string };
  });
  job.progress(1, 2);
  await job.sleep("a while", "90s");
  let event: { n: number };
  try {
    event = await job.wait("webhook:paid", { timeout: "1h" });
  } catch (e) {
    if ((e as { code?: string }).code !== "timeout") throw e;
    event = { n: 0 };
  }
  await job.transaction("credit", async (tx) => {
    const { wallet } = await tx.db.users.get(user);
    await tx.db.users.update(user, { wallet: wallet + amount });
    await tx.db.logs.insert({ text: `${paid.id} ${event.n} ${job.id} ${job.attempt}` });
  });
  job.progress(2, 2);
});
