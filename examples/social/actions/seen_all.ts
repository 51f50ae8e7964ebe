import { action } from "galley";

export default action("seen_all", (tx) => {
  const unseen = tx.db.notifications.list({ where: { to: tx.auth.id, seen: false }, limit: 500 });
  for (const n of unseen) tx.db.notifications.update(n, { seen: true });
  return { seen: unseen.length };
});
