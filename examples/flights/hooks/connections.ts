import { hook } from "galley";
import { plan } from "../lib/plan";

export default hook("connections", {
  create: (tx, connection) => plan(tx, connection),
});
