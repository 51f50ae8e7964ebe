import { route } from "galley";

export default route("failed", (tx, problem) => {
  const errors: { [name: string]: unknown[] } = {};
  for (const e of problem.errors ?? []) errors[e.pointer.slice(2)] = [e.detail];
  for (const [name, why] of Object.entries(problem.data ?? {})) errors[name] = [why];
  if (Object.keys(errors).length === 0) {
    if (problem.code === "unauthenticated") errors.token = ["is missing"];
    else errors.body = [problem.detail ?? problem.title];
  }
  return { status: problem.status, body: { errors } };
});
