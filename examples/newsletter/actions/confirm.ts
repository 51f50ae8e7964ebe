import { action, refuse } from "galley";

export default action("confirm", (tx, { token }) => {
  const claims = tx.token.verify("LINK_KEY", token);
  const user = claims && tx.db.users.first({ id: claims.confirm });
  if (!user) throw refuse("link_invalid");
  if (!user.verified) tx.db.users.update(user, { verified: true });
  return { email: user.email };
});
