// Knows who is signed in. The session itself is a cookie that no script can read.
import * as api from "./api.js";

// mark tells the next page of this browser that it is worth asking who is signed in. It is no
// secret and opens nothing.
const mark = "shop.signed-in";
const listeners = new Set();
let user = null;

// me returns who is signed in, or null.
export const me = () => user;

// watch calls fn whenever somebody signs in or out or has another balance.
export function watch(fn) {
  listeners.add(fn);
}

function become(someone) {
  user = someone;
  try {
    if (someone) localStorage.setItem(mark, "1");
    else localStorage.removeItem(mark);
  } catch {
    // A browser that keeps nothing asks anew on each page.
  }
  for (const fn of listeners) fn(user);
}

function marked() {
  try {
    return localStorage.getItem(mark) !== null;
  } catch {
    return true;
  }
}

// refresh asks the shop who is signed in, unless nobody ever was.
export async function refresh() {
  if (!user && !marked()) return become(null);
  try {
    become((await api.get("/api/auth/session"))?.user ?? null);
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    become(null);
  }
}

// signUp makes an account and signs in with it.
export async function signUp({ name, email, password }) {
  become((await api.post("/api/auth/sign-up", { name, email, password })).user);
}

// signIn opens a session.
export async function signIn({ email, password }) {
  become((await api.post("/api/auth/sign-in", { email, password })).user);
}

// signOut ends the session.
export async function signOut() {
  await api.post("/api/auth/sign-out");
  become(null);
}

// update takes over what an answer said about the person.
export function update(fields) {
  if (user) become({ ...user, ...fields });
}
