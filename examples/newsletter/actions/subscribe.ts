import { action } from "galley";

const hour = 3600_000;

export default action("subscribe", (tx, { email }) => {
  const known = tx.db.users.first({ email });
  if (known?.asked && tx.now.getTime() - known.asked.getTime() < hour) return;
  const user = known
    ? tx.db.users.update(known, { asked: tx.now })
    : tx.db.users.insert({ email, asked: tx.now });
  const token = user.verified ? null : tx.token.sign("LINK_KEY", { confirm: user.id }, { expires: "7d" });
  tx.email.confirm({ to: user, data: { token } });
});
