import { route, refuse } from "galley";
import { account } from "../lib";

export default route("users", {
  "POST /api/users"(tx, { json }) {
    const { username, email, password } = json?.user ?? {};
    for (const [name, value] of Object.entries({ username, email, password })) {
      if (typeof value !== "string" || value === "") throw refuse("invalid_input", { [name]: "can't be blank" });
    }
    if (tx.db.users.count({ username }) + tx.db.users.count({ email }) > 0) throw refuse("taken");
    const user = tx.db.users.insert({ username, email, password: tx.password.hash(password) });
    return { status: 201, body: account(tx, user) };
  },
  "POST /api/users/login"(tx, { json }) {
    const { email, password } = json?.user ?? {};
    const user = tx.db.users.first({ email: String(email) });
    if (!tx.password.verify(user?.password, String(password)) || !user) throw refuse("wrong_login");
    return { body: account(tx, user) };
  },
});
