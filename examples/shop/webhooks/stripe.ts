import { refuse, webhook } from "galley";
import { credit } from "../lib/credit";

// Each event runs once, however often it is sent. Whatever the order: what comes too early is
// refused, and the provider sends it again later.
export default webhook("stripe", async (tx, event) => {
  const about = event.body.data.object;
  switch (event.body.type) {
    // The card was charged. Most times the job has heard so already; if its questions were
    // never answered, the money gets into the wallet all the same.
    case "payment_intent.succeeded":
      await credit(tx, about);
      return;

    // The money went back. A wallet that does not hold it any more stays as it is: the check
    // refuses this, and the provider goes on asking until somebody has looked into it.
    case "charge.refunded": {
      const paid = await tx.db.top_ups.first({ payment: about.payment_intent });
      if (!paid) throw refuse("payment_unknown");
      if (paid.status === "refunded") return;
      const { wallet } = await tx.db.users.get(paid.user);
      await tx.db.users.update(paid.user, { wallet: wallet - paid.amount });
      await tx.db.top_ups.update(paid, { status: "refunded" });
    }
  }
});
