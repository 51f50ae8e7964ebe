// A page of the notes in React, with every hook.
import { galley, cel, type Id } from "@galley/client";
import { useAction, useLive, usePresence, useUser } from "@galley/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import "./notes";

const api = galley();
Object.assign(window, { api });

function Group({ name }: { name: string }) {
  const notes = useLive(api.notes, { filter: cel`group == ${name}`, sort: "place", expand: ["owner"] });
  const update = useAction(api.notes.update);
  const count = useAction(api.actions.count);
  return (
    <section aria-busy={notes.state === "loading"}>
      <ol>
        {notes.map((n) => (
          <li key={n.id}>
            <button onClick={() => update(n.id, { place: n.place + 10 })}>{n.text} of {n.expand.owner.name}</button>
            <button className="count" onClick={() => count({ note: n.id })}>{n.count}</button>
          </li>
        ))}
      </ol>
      <p role="status">{count.running ? "…" : count.result?.count}</p>
      {update.problem && <p role="alert">{update.problem.message}</p>}
      <button id="spoil" onClick={() => notes[0] && update(notes[0].id as Id<"notes">, { text: "bad" })}>Spoil</button>
    </section>
  );
}

function Room() {
  const present = usePresence("room/one", { state: { hand: false } });
  return (
    <p id="room">
      {present.map((p) => `${p.user?.name}${p.state?.hand ? "!" : ""}`).join()}
      <button id="hand" onClick={() => present.state({ hand: true })}>Raise</button>
    </p>
  );
}

function Groups() {
  const groups = useLive(api.groups);
  return <p id="groups">{groups.map((g) => g.group + g.n).join()}</p>;
}

function Page() {
  const user = useUser();
  const [group, setGroup] = useState("a");
  if (user === undefined) return <p>…</p>;
  if (!user) return <p id="out">Nobody</p>;
  return (
    <main>
      <h1>{user.name}</h1>
      <button id="other" onClick={() => setGroup(group === "a" ? "b" : "a")}>{group}</button>
      <Group name={group} />
      <Groups />
      <Room />
    </main>
  );
}

createRoot(document.body.appendChild(document.createElement("div"))).render(<StrictMode><Page /></StrictMode>);
