// Keeps the cart of this browser, and the order that is under way.
//
// An order is under way from the moment it is sent until its answer is here. Its key and its
// body are kept as long, also over a reload, so that sending it again can only ever be the
// same order.
const cartName = "shop.cart";
const listeners = new Set();

// pieceMax is how many pieces of one product an order may hold, and lineMax how many products;
// the shop refuses more.
export const pieceMax = 5000;
export const lineMax = 200;

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // A browser that keeps nothing still has the cart of this page.
  }
}

// lines maps a product's id to {product, quantity}.
const lines = new Map();

function load() {
  lines.clear();
  for (const line of read(cartName) ?? []) {
    if (line?.product?.id && line.quantity > 0) lines.set(line.product.id, line);
  }
}

function changed() {
  for (const fn of listeners) fn();
}

// watch calls fn whenever the cart has changed, here or in another window.
export function watch(fn) {
  listeners.add(fn);
}

load();
addEventListener("storage", (event) => {
  if (event.key !== cartName) return;
  load();
  changed();
});

// all returns the lines in the order in which they came.
export const all = () => [...lines.values()];

// quantity returns how many pieces of a product are in the cart.
export const quantity = (id) => lines.get(id)?.quantity ?? 0;

// pieces counts everything in the cart.
export const pieces = () => all().reduce((sum, line) => sum + line.quantity, 0);

// total is what the cart would cost at the prices last seen, in pence.
export const total = () => all().reduce((sum, line) => sum + line.quantity * line.product.price, 0);

// set puts so many pieces of a product into the cart; none takes it out. It returns false
// if the cart is full.
export function set(product, wanted) {
  const { id, code, name, price, stock } = product;
  const number = Math.max(0, Math.min(pieceMax, Math.trunc(wanted) || 0));
  if (number > 0 && !lines.has(id) && lines.size >= lineMax) return false;
  const line = { product: { id, code, name, price, stock }, quantity: number };
  if (JSON.stringify(lines.get(id)) === JSON.stringify(line)) return true;
  if (number === 0) lines.delete(id);
  else lines.set(id, line);
  write(cartName, all());
  changed();
  return true;
}

// clear empties the cart.
export function clear() {
  lines.clear();
  write(cartName, null);
  changed();
}

const underWayName = (user) => `shop.order.${user}`;

// underWay returns the person's order that has no answer yet, or null.
export const underWay = (user) => read(underWayName(user));

// begin makes an order of the cart and keeps it with a fresh key.
export function begin(user, code) {
  const body = { items: all().map(({ product, quantity }) => ({ product: product.id, quantity })) };
  if (code) body.code = code;
  const order = { key: crypto.randomUUID(), body };
  write(underWayName(user), order);
  return order;
}

// settle forgets the order: its answer is here.
export const settle = (user) => write(underWayName(user), null);
