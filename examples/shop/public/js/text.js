// Writes what the shop stores the way people read it.

// money writes pence as pounds, digit by digit: no float comes near money.
export function money(pence) {
  const sign = pence < 0 ? "−" : "";
  const digits = String(Math.abs(pence)).padStart(3, "0");
  const pounds = digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ",");
  return `${sign}£${pounds}.${digits.slice(-2)}`;
}

// title writes a name as a sentence would: the invoices shout.
export function title(name) {
  const low = name.toLowerCase();
  return low.slice(0, 1).toUpperCase() + low.slice(1).replace(/\bt-light/g, "T\u2011light");
}

// count writes "1 piece" or "2 pieces".
export const count = (n, one, many) => `${n.toLocaleString("en-GB")} ${n === 1 ? one : many}`;

// day writes when something was.
export const day = (time) =>
  new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

// literal writes text as a string of the filter language. JSON's escapes are all known
// there, so nothing that somebody types can end the string.
export const literal = (text) => JSON.stringify(text.toWellFormed());
