import { route } from "galley";
import { byName, profile } from "../lib";

export default route("follow", (tx, { method, params }) => {
  const author = byName(tx, params.username!);
  const pair = { user: tx.auth.id, author: author.id };
  const follow = tx.db.follows.first(pair);
  if (method === "POST" && !follow) tx.db.follows.insert(pair);
  if (method === "DELETE" && follow) tx.db.follows.delete(follow);
  return { body: { profile: profile(tx, author) } };
});
