// The one client of this page: its live lists share one socket.
import { galley, cel } from "/galley.js";

export { cel };
export const api = galley();
