import { route } from "galley";
import { account } from "../lib";

export default route("me", {
  "GET /api/user": (tx) => ({ body: account(tx, tx.auth) }),
  "PUT /api/user"(tx, { json }) {
    const { email, username, bio, image, password } = json.user;
    const hash = password === undefined ? undefined : tx.password.hash(password);
    return { body: account(tx, tx.db.users.update(tx.auth, { email, username, bio, image, password: hash })) };
  },
});
