// What the tests look at: a live list, who is signed in, and what became of changes.
import { galley, cel, Problem } from "/galley.js";

const api = galley();
const notes = api.notes.live({ sort: "place", limit: 500 });
Object.assign(window, { api, cel, Problem, notes, refused: [], users: [], settled: [], lines: [] });
api.line.subscribe((state) => window.lines.push(state));
api.outbox.onRefused((problem, change) => window.refused.push(`${problem.code} ${change.kind} ${change.values?.text}`));
api.auth.onChange((user) => window.users.push(user?.name ?? null));
notes.subscribe(() => {});
window.texts = () => notes.items.map((n) => n.text).join();
window.write = (promise) => promise.then(() => window.settled.push("ok"), (e) => window.settled.push(e.code));
window.ready = true;
