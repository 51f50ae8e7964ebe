import { route } from "galley";

export default route("failed", (tx, problem) => {
  const body = problem.errors?.map((e) => `${e.pointer.slice(2)} ${e.detail}`)
    ?? Object.entries(problem.data ?? {}).map(([name, why]) => `${name} ${why}`);
  if (body.length === 0) body.push(problem.detail ?? problem.title);
  return { status: problem.status === 409 ? 422 : problem.status, body: { errors: { body } } };
});
