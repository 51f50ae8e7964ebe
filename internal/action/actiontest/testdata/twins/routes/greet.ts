import { route } from "galley";

export default route("greet", (tx, { params, input, query, headers, method }) => {
  const text = `hello ${params.name} ${query.q} ${headers["x-a"]} ${method}`;
  return { headers: { "x-n": ["1", "2"] }, body: input.loud ? text.toUpperCase() : text };
});
