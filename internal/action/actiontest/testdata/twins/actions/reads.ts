import { action, cel } from "galley";

export default action("reads", (tx) => {
  const most = 500;
  const cheap = tx.db.products.list({ where: cel`price < ${most} && listed`, sort: "-price,name", limit: 2 });
  const best = tx.db.products.first({ listed: true, price: 900 });
  const none = tx.db.products.first({ name: "nothing" });
  return {
    cheap: cheap.map((p) => p.name), best: best && best.name, none: none && none.name,
    count: tx.db.products.count({ listed: true }), all: tx.db.products.list().length,
  };
});
