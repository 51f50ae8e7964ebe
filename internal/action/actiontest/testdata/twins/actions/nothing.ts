import { action } from "galley";

export default action("nothing", (tx) => {
  tx.log("nothing is to be done");
});
