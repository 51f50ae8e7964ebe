import { route } from "galley";
import { byName, profile } from "../lib";

export default route("profiles", (tx, { params }) => ({
  body: { profile: profile(tx, byName(tx, params.username!)) },
}));
