import { action } from "galley";

export default action("nothing", () => {});
