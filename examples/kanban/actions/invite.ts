import { action, refuse } from "galley";

export default action("invite", (tx, { board, email, role }) => {
  const user = tx.db.users.first({ email });
  if (!user) throw refuse("not_signed_up");
  if (tx.db.members.first({ board, user: user.id })) throw refuse("already_member");
  return { member: tx.db.members.insert({ board, user: user.id, role }).id };
});
