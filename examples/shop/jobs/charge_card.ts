import { fail, job } from "galley";
import { credit, type Payment } from "../lib/credit";

// The provider of examples/shop/provider. One that lives elsewhere has an address with https.
const provider = "http://127.0.0.1:4242";

export default job("charge_card", async (job, { user, amount, card }) => {
  job.progress(0, 2);
  const payment = await job.step("charge", async ({ key, fetch }) => {
    const answer = await fetch(`${provider}/v1/payment_intents`, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${job.secret("STRIPE_KEY")}`,
        "Idempotency-Key": key, // the same at each try, so that a card is charged once
      },
      body: new URLSearchParams({
        amount: String(amount),
        currency: "gbp",
        payment_method: card,
        confirm: "true",
        "metadata[user]": user,
      }),
    });
    if (answer.status === 402) throw fail("card_declined"); // for good: it is not tried again
    if (!answer.ok) throw new Error(`the provider answered ${answer.status}`);
    return (await answer.json()) as Payment;
  });

  job.progress(1, 2);
  await job.transaction("credit", (tx) => credit(tx, payment));
  job.progress(2, 2);
});
