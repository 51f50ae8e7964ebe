// Keeps the page's own files, so that it opens without a connection, too. The network comes first;
// what it does not answer is taken from what was kept. Nothing below /api is touched: what the app
// says is kept by the client.
const files = () => caches.open("files");

const own = ({ origin, pathname, search }) =>
  origin === location.origin && !search && !/^\/(api|_)(\/|$)/.test(pathname);

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

// A page says what it had loaded before it had this worker.
addEventListener("message", (event) => {
  const names = new Set(event.data.filter((name) => own(new URL(name))));
  event.waitUntil(files().then((kept) => Promise.allSettled([...names].map(async (name) => await kept.match(name) ?? kept.add(name)))));
});

addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !own(new URL(request.url))) return;
  event.respondWith(fetch(request).then((answer) => {
    if (answer.ok) event.waitUntil(keep(request, answer.clone()));
    return answer;
  }, async () => {
    const kept = await files();
    const was = await kept.match(request) ?? (request.mode === "navigate" ? await kept.match("/") : null);
    return was ?? Response.error();
  }));
});

const keep = async (request, answer) => (await files()).put(request, answer);
