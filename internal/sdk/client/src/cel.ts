/** cel writes a condition into which values are bound as literals. */
export function cel(text: TemplateStringsArray, ...values: unknown[]): string {
  return text.raw.reduce((all, part, i) => all + literal(values[i - 1]) + part);
}

/** literal writes a value in CEL, so that it can be nothing but that value. */
function literal(v: unknown): string {
  if (Array.isArray(v)) return `[${v.map(literal).join(", ")}]`;
  if (v instanceof Date) return `timestamp(${JSON.stringify(v.toISOString())})`;
  if (typeof v === "string") return JSON.stringify(v);
  if (v === null || typeof v === "boolean") return String(v);
  if (typeof v === "number" && Number.isFinite(v)) return v < 0 ? `(${v})` : String(v);
  const id = (v as { id?: unknown } | undefined)?.id;
  if (typeof id === "string") return JSON.stringify(id);
  throw new TypeError(`A filter cannot hold ${String(v)}.`);
}
