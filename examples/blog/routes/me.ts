import { route } from "galley";
import { account, free, hashed, texts } from "../lib";

export default route("me", {
  "GET /api/user": (tx) => ({ body: account(tx, tx.auth) }),
  "PUT /api/user"(tx, { json }) {
    const { password, ...changed } = texts(json?.user, ["email", "username", "password"], true);
    const { bio, image } = json.user;
    free(tx, changed);
    const hash = password && hashed(tx, password);
    const empty = (text: any) => (text === "" ? null : text);
    const next = { ...changed, password: hash, bio: empty(bio), image: empty(image) };
    return { body: account(tx, tx.db.users.update(tx.auth, next)) };
  },
});
