import { route } from "galley";

export default route("viewer", (tx, { headers }) => {
  const [scheme, token] = (headers.authorization ?? "").split(" ");
  const claims = scheme === "Token" ? tx.token.verify("TOKEN_KEY", token) : null;
  return claims && tx.db.users.first({ id: claims.sub });
});
