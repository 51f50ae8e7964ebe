// One room: what was said, who is there, who is writing.
import { api, cel } from "./api.js";
import { arrange, ask, clock, colour, day, face, find, h, icon, linked, put, say } from "./dom.js";
import { enterRoom } from "./rooms.js";

const page = 40; // messages that are followed, and that a look upward brings
const typingTime = 4000, typingPause = 2000;

export function room(main, keep, id, rooms) {
  const me = api.auth.user;
  let stop = null;
  const enter = () => {
    const room = rooms.find(id), member = rooms.member(id);
    if (!rooms.loaded()) return;
    if (!room) return leave(() => put(main, notice("There is no such room", "The address may be wrong.")));
    if (member && !stop) stop = inside(main, room, rooms, me);
    else if (!member) leave(() => put(main, door(room)));
  };
  const leave = (draw) => {
    if (stop) stop();
    else if (main.querySelector("#enter, .empty")) return;
    stop = null;
    draw();
  };
  rooms.onChange = enter;
  keep(() => { rooms.onChange = null; stop?.(); });
  put(main);
  enter();
}

const notice = (title, words, ...more) =>
  h("div", { class: "empty" }, h("h1", {}, title), h("p", {}, words), more, h("a", { class: "link back", href: "#/" }, "All rooms"));

function door(room) {
  const button = h("button", { class: "button", type: "button", id: "enter" }, "Come in");
  button.addEventListener("click", () => enterRoom(button, room.id));
  return notice(room.name, room.about ?? "Nobody has said what this room is about.", button);
}

function inside(main, { id, name, about }, rooms, me) {
  const live = api.messages.live({ filter: cel`room == ${id}`, sort: "-number", limit: page, expand: ["author"] });
  // What is taken back may stand far above what is followed otherwise.
  const back = api.messages.live({ filter: cel`room == ${id} && gone`, sort: "-updated", limit: 100 });
  const people = api.members.live({ filter: cel`room == ${id}`, limit: 500 });
  const channel = api.channel(`room/${id}`);
  const log = h("ol", { class: "log", id: "log" });
  const top = h("p", { class: "start", id: "start" });
  const scroll = h("div", { class: "scroll", id: "scroll", tabindex: "0", role: "log", "aria-label": `Messages in ${name}` }, top, log);
  const typing = h("p", { class: "typing", id: "typing", role: "status" });
  const newest = h("button", { class: "button newest", type: "button", hidden: true, onclick: () => down() }, "Newest messages");
  const unreadFrom = (rooms.member(id)?.seen ?? 0) + 1;
  const lastBefore = rooms.find(id).sent;

  let older = new Map(); // by number: what was seen of the room, and what a look upward has brought
  let drawn = new Map(); // the lines that stand there
  let cursor, done = false, busy = false, ended = false;
  let vain = false; // whether the last look upward brought nothing

  // shown is all that is known without a gap, the oldest first, and what is on its way. As the
  // messages of a room are numbered, a gap is seen.
  function shown() {
    const window = live.items.filter((m) => m.number);
    for (const m of window) older.set(m.number, m);
    const known = new Map(older);
    for (const m of back.items) if (known.has(m.number)) known.set(m.number, { ...known.get(m.number), gone: true });
    let first = Math.min(...window.map((m) => m.number), Math.max(0, ...known.keys()) + 1);
    while (known.has(first - 1)) first--;
    if (live.state === "live" && [...older.keys()].some((n) => n < first)) {
      older = new Map([...older].filter(([n]) => n >= first)); // the line was down for long
      cursor = undefined;
    }
    done = first <= 1;
    const coming = api.outbox.pending.filter((c) => c.kind === "create" && c.name === "messages" && c.values.room === id);
    return [...[...known.values()].filter((m) => m.number >= first).sort((a, b) => a.number - b.number),
      ...coming.map((c) => ({ id: c.id, text: c.values.text, author: me.id, created: new Date().toISOString() }))];
  }

  // more reads a page upward. What is on the screen stays where it is.
  async function more() {
    if (busy || done || live.state === "loading") return;
    const first = shown().find((m) => m.number)?.number ?? 1;
    if (done) return;
    busy = true;
    draw();
    try {
      cursor ??= { filter: cel`room == ${id} && number < ${first}` };
      const { items, next } = await api.messages.list({ ...cursor, sort: "-number", limit: page, expand: ["author"] });
      cursor.cursor = next;
      for (const m of items) older.set(m.number, m);
      vain = !items.length;
    } catch (e) {
      vain = true;
      say(e.message);
    }
    busy = false;
    if (!ended) draw();
  }

  // draw has the room drawn with the next frame, once for all that happens until then.
  let frame = 0;
  const draw = () => { frame ||= requestAnimationFrame(paint); };

  function paint() {
    frame = 0;
    const all = shown();
    const low = lowest();
    const left = scroll.scrollHeight - scroll.scrollTop;
    put(top, live.state === "loading" && !all.length ? "Reading…" : busy ? "Reading what was said before…" : done ? `This is where ${name} begins.` : "");
    const lines = new Map(); // by what they show
    const add = (key, make) => lines.set(key, drawn.get(key) ?? make());
    const mark = (kind, text) => add(kind + text, () => h("li", { class: kind }, h("span", {}, text)));
    let before;
    for (const m of all) {
      if (!before || day(before.created) !== day(m.created)) mark("day", day(m.created));
      if (m.number === unreadFrom && unreadFrom <= lastBefore && m.author !== me.id) {
        mark("day fresh", "New");
        before = null;
      }
      const joined = joins(m, before), who = writer(m);
      add(JSON.stringify([m.id, m.number, m.gone, m.text, who, joined]), () => line(m, who, joined));
      before = m;
    }
    arrange(log, [...lines.values()]);
    drawn = lines;
    scroll.scrollTop = low ? scroll.scrollHeight : scroll.scrollHeight - left;
    newest.hidden = low || !all.length;
    seen(all, low);
    // Who went up before it could be read, or whose screen has room left, does not scroll for it.
    if (all.length && !vain && scroll.scrollTop < 200) more();
  }

  const name_ = (m) => (m.author === me.id ? api.auth.user?.name : m.expand?.author?.name) ?? "Somebody";

  const writer = (m) => m.number ? name_(m) : api.auth.user?.name ?? me.name;

  // joins is whether a message stands under the name of the one before.
  const joins = (m, before) => before?.author === m.author && Date.parse(m.created) - Date.parse(before.created) < 5 * 60_000
    && day(before.created) === day(m.created);

  function line(m, who, joined) {
    const mine = m.author === me.id || !m.number;
    const by = m.author ?? me.id;
    const item = h("li", { class: ["message", joined && "joined", !m.number && "coming"].filter(Boolean).join(" "), "data-number": m.number || null },
      joined ? null : face(by, who),
      h("div", { class: "said" },
        !joined && h("p", { class: "by" }, h("b", {}, who), " ", h("time", { datetime: m.created }, m.number ? clock(m.created) : "on its way")),
        m.gone ? h("p", { class: "text gone" }, "This was taken back.") : h("p", { class: "text" }, linked(m.text ?? ""))),
      mine && m.number && !m.gone && h("button", { class: "back-button", type: "button", "aria-label": "Take this back", onclick: () => takeBack(m) }, icon("M7 5L3 9l4 4M3 9h9a5 5 0 0 1 0 10h-2")));
    item.style.setProperty("--own", colour(by));
    return item;
  }

  function takeBack(m) {
    ask("Take this back?", {
      fields: [h("p", {}, "Nobody will read it any more. That something stood here is still seen.")],
      button: "Take it back",
      send: () => api.messages.update(m.id, { gone: true }),
    });
  }

  const lowest = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;

  // seen tells how far one has read: as far as the page shows, while somebody looks at it.
  let told = 0;
  function seen(all, low) {
    const last = all.findLast((m) => m.number)?.number ?? 0;
    const member = rooms.member(id);
    if (!member || document.hidden || !low || last <= Math.max(member.seen, told)) return;
    told = last;
    api.members.update(member.id, { seen: { $max: last } }).catch(() => { told = 0; });
  }
  const down = () => { scroll.scrollTop = scroll.scrollHeight; };

  // written is told of a message that was sent: when it is answered it has a number.
  function written(answer) {
    answer.then((m) => {
      older.set(m.number, m);
      if (!ended) draw();
    }, (e) => say(e.message));
    requestAnimationFrame(down);
  }
  const look = () => {
    const low = lowest();
    newest.hidden = low;
    seen(shown(), low);
  };
  scroll.addEventListener("scroll", () => {
    if (scroll.scrollTop < 200) more();
    look();
  }, { passive: true });
  document.addEventListener("visibilitychange", look);

  const writing = new Map();
  function drawTyping() {
    const names = [...writing.values()].map((w) => w.name.split(" ")[0]);
    put(typing, names.length === 0 ? "" : names.length === 1 ? `${names[0]} is writing…` : names.length < 4 ? `${names.join(", ")} are writing…` : "Many are writing…");
  }
  const stopped = (user) => {
    clearTimeout(writing.get(user)?.timer);
    writing.delete(user);
    drawTyping();
  };
  channel.on("message", ({ typing: yes }, { who, user }) => {
    if (user === me.id) return;
    if (!yes) return stopped(user);
    clearTimeout(writing.get(user)?.timer);
    const name = channel.present.find((p) => p.who === who)?.user?.name ?? "Somebody";
    writing.set(user, { name, timer: setTimeout(stopped, typingTime, user) });
    drawTyping();
  });

  const here = h("ul", { class: "here", id: "here", "aria-label": "Who is here" });
  const count = h("p", { class: "muted", id: "count" });
  function drawPeople() {
    const present = new Map(channel.present.filter((p) => p.user).map((p) => [p.user.id, p.user]));
    put(here, [...present.values()].slice(0, 5).map((u) => h("li", { "data-user": u.id }, face(u.id, u.name))));
    const all = people.items.length;
    put(count, `${all === 1 ? "1 person" : `${all} people`}, ${present.size} here`);
    for (const user of writing.keys()) if (!present.has(user)) stopped(user);
  }
  channel.on("present", drawPeople);

  put(main,
    h("header", { class: "head-of-room" },
      h("a", { class: "round back", href: "#/", "aria-label": "All rooms" }, icon("M12 4l-6 6 6 6")),
      h("div", { class: "grow" }, h("h1", {}, name), about && h("p", { class: "muted about" }, about)),
      h("div", { class: "who" }, here, count),
      h("button", { class: "round", type: "button", id: "room-menu", "aria-label": "About this room", onclick: () => menu(rooms, id) }, icon("M4 10h.01M10 10h.01M16 10h.01"))),
    scroll, newest, typing, composer(id, channel, written));
  const stops = [live.subscribe(draw), back.subscribe(draw), people.subscribe(drawPeople), api.outbox.onChange(draw)];
  down();
  if (matchMedia("(hover: hover)").matches) find("text").focus({ preventScroll: true });

  return () => {
    ended = true;
    cancelAnimationFrame(frame);
    stops.forEach((end) => end());
    document.removeEventListener("visibilitychange", look);
    for (const { timer } of writing.values()) clearTimeout(timer);
    channel.leave();
  };
}

function composer(room, channel, written) {
  const text = h("textarea", { id: "text", name: "text", rows: 1, maxlength: 2000, required: true, placeholder: "Write something" });
  const form = h("form", { class: "compose", id: "compose" },
    h("label", { class: "hidden", for: "text" }, "Message"), text,
    h("button", { class: "button send", type: "submit", "aria-label": "Send" }, icon("M3 10l14-6-5 13-3-5Z", "M9 12l8-8")));
  let told = 0;
  text.addEventListener("input", () => {
    if (!text.value || Date.now() - told < typingPause) return;
    told = Date.now();
    channel.send({ typing: true });
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words) return;
    // Shown at once, and sent when the line is there, once.
    written(api.messages.create({ room, text: words }));
    if (told) channel.send({ typing: false });
    told = 0;
    form.reset();
    text.focus();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    form.requestSubmit();
  });
  return form;
}

function menu(rooms, id) {
  const { name } = rooms.find(id);
  ask(name, {
    more: h("button", { class: "button danger wide", type: "button", id: "leave", onclick: async () => {
      find("dialog").close();
      await api.members.delete(rooms.member(id).id).catch((e) => say(e.message));
    } }, "Leave this room"),
  });
}
