import { action } from "galley";

export default action("echo", async (_tx, input) => ({ text: input.text, data: input.data }));
