import { route, refuse } from "galley";
import { account, free, hashed, texts } from "../lib";

export default route("users", {
  "POST /api/users"(tx, { json }) {
    const { username, email, password } = texts(json?.user, ["username", "email", "password"]);
    const { bio, image } = json.user;
    free(tx, { username, email });
    const made = { username, email, password: hashed(tx, password), bio: bio || null, image: image || null };
    return { status: 201, body: account(tx, tx.db.users.insert(made)) };
  },
  "POST /api/users/login"(tx, { json }) {
    const { email, password } = texts(json?.user, ["email", "password"]);
    const user = tx.db.users.first({ email });
    if (!tx.password.verify(user?.password, password) || !user) {
      throw refuse("unauthenticated", { credentials: "invalid" });
    }
    return { body: account(tx, user) };
  },
});
