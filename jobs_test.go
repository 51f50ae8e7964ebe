package galley_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/galleybackend/galley"
)

const jobsApp = `app: small
secrets: [TOKEN_KEY]
collections:
  users:
    fields: {name: string}
  notes:
    fields: {text: string, done: {type: bool, default: false}}
    hooks: [update]
    allow: {read: true}
  logs:
    fields: {text: string}
    allow: {read: true}
jobs:
  shout:  {input: {note: notes, times: {type: int, max: 3}}}
  finish: {on: notes.created, if: record.text != "later"}
actions:
  write: {allow: true, input: {text: string, times: int}, output: {job: string}}
`

// jobsFiles are the functions in TypeScript; what is wanted of them is done in Go, too.
var jobsFiles = map[string]string{
	"actions/write.ts": `import { action } from "galley";
export default action("write", (tx, { text, times }) => {
  const note = tx.db.notes.insert({ text });
  return { job: tx.jobs.shout({ note: note.id, times }).id };
});`,
	"jobs/shout.ts": `import { job } from "galley";
export default job("shout", async (job, { note, times }) => {
  let text = await job.step("begin", ({ key }) => "!");
  for (let i = 1; i < times; i++) text += await job.step("more " + i, () => "!");
  job.progress(1, 2);
  await job.sleep("a moment", "1ms");
  await job.transaction("write", async (tx) => {
    const { text: old } = await tx.db.notes.get(note);
    await tx.db.notes.update(note, { text: old.toUpperCase() + text });
  });
});`,
	"jobs/finish.ts": `import { job } from "galley";
export default job("finish", async (job, note) => {
  await job.transaction("finish", (tx) => { tx.db.notes.update(note.id, { done: true }); });
});`,
	"hooks/notes.ts": `import { hook } from "galley";
export default hook("notes", {
  update(tx, note, before) { if (note.text !== before.text) tx.db.logs.insert({ text: before.text }); },
});`,
}

// record is a note or a log as the functions in Go have it.
type record struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Version int64     `json:"version"`
	Text    string    `json:"text"`
}

type note struct {
	ID      galley.ID[note] `json:"id"`
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`
	Version int64           `json:"version"`
	Text    string          `json:"text"`
	Done    bool            `json:"done"`
}

type shoutInput struct {
	Note  galley.ID[note] `json:"note"`
	Times int64           `json:"times"`
}

// jobsIn registers the same functions in Go.
func jobsIn(g *galley.App) {
	type in struct {
		Text  string `json:"text"`
		Times int64  `json:"times"`
	}
	type out struct {
		Job string `json:"job"`
	}
	galley.Action(g, "write", func(tx *galley.Tx, in in) (out out, err error) {
		n, err := galley.Collection[note](tx, "notes").Insert(note{Text: in.Text})
		if err == nil {
			out.Job, err = tx.Start("shout", shoutInput{n.ID, in.Times})
		}
		return out, err
	})
	galley.HandleJob(g, "shout", func(job *galley.Job, in shoutInput) error {
		job.Progress(1, 2)
		if err := job.Sleep("a moment", time.Millisecond); err != nil {
			return err
		}
		return job.Transaction("write", func(tx *galley.Tx) error {
			notes := galley.Collection[note](tx, "notes")
			n, err := notes.Get(in.Note)
			if err != nil {
				return err
			}
			n.Text = strings.ToUpper(n.Text) + strings.Repeat("!", int(in.Times))
			_, err = notes.Update(n)
			return err
		})
	})
	galley.HandleJob(g, "finish", func(job *galley.Job, n note) error {
		return job.Transaction("finish", func(tx *galley.Tx) error {
			_, err := galley.Collection[note](tx, "notes").Patch(n.ID, galley.Fields{"done": true})
			return err
		})
	})
	galley.Hook(g, "notes", galley.Hooks[note]{Update: func(tx *galley.Tx, n, before note) error {
		if n.Text == before.Text {
			return nil
		}
		_, err := galley.Collection[record](tx, "logs").Insert(record{Text: before.Text})
		return err
	}})
}

// TestWhatACommitStartsIsDone runs the app in both languages: what code and changes start
// is done, and seen by who started it.
func TestWhatACommitStartsIsDone(t *testing.T) {
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			files := fstest.MapFS{"galley.yaml": {Data: []byte(jobsApp)}}
			register := jobsIn
			if language == "ts" {
				register = func(*galley.App) {}
				for name, text := range jobsFiles {
					files[name] = &fstest.MapFile{Data: []byte(text)}
				}
			}
			a := openFiles(t, files, register)
			status, _, text := a.ask("POST", "/api/actions/write", `{"text":"hello","times":2}`,
				"Content-Type", "application/json", "Idempotency-Key", "k1")
			var started struct{ Job string }
			if err := json.Unmarshal([]byte(text), &started); err != nil || status != 200 {
				t.Fatalf("got %d %s", status, text)
			}
			want := `"text":"HELLO!!","done":true`
			for range 20_000 {
				if _, _, text = a.ask("GET", "/api/notes", ""); strings.Contains(text, want) {
					break
				}
				<-time.After(5 * time.Millisecond)
			}
			if !strings.Contains(text, want) {
				t.Fatalf("the note never became what it should: %s", text)
			}
			if _, _, logs := a.ask("GET", "/api/logs", ""); strings.Count(logs, `"text":"hello"`) != 1 {
				t.Errorf("the hook logged %s", logs)
			}
			var job string
			for range 20_000 {
				if _, _, job = a.ask("GET", "/api/jobs/"+started.Job, ""); strings.Contains(job, `"state":"done"`) {
					break
				}
				<-time.After(5 * time.Millisecond)
			}
			if !strings.Contains(job, `"name":"shout"`) || !strings.Contains(job, `"state":"done"`) ||
				!strings.Contains(job, `"done":1`) {
				t.Errorf("the job is %s", job)
			}
			status, _, text = a.ask("POST", "/api/actions/write", `{"text":"x","times":4}`,
				"Content-Type", "application/json", "Idempotency-Key", "k2")
			if status != 500 {
				t.Errorf("an input that does not fit got %d %s", status, fmt.Sprint(text))
			}
		})
	}
}

// TestWhoSignsUpRunsHooks has the house itself write the record.
func TestWhoSignsUpRunsHooks(t *testing.T) {
	a := openFiles(t, fstest.MapFS{"galley.yaml": {Data: []byte(`app: small
secrets: [TOKEN_KEY]
auth: {sign_in: [password], sign_up: {fields: [name]}}
collections:
  users:
    fields: {name: string}
    hooks: [create]
  profiles:
    fields: {user: users, text: {type: string, unique: true}}
    allow: {read: true}
errors:
  name_taken: Somebody has that name.
`)}, "hooks/users.ts": {Data: []byte(`import { hook, refuse } from "galley";
export default hook("users", {
  create(tx, user) {
    if (tx.db.profiles.count({ text: user.name }) > 0) throw refuse("name_taken");
    tx.db.profiles.insert({ user: user.id, text: user.name });
  },
});`)}}, func(*galley.App) {})
	for _, c := range []struct {
		email, want string
		status      int
	}{{"ana@example.com", `"user":{"id":`, 201}, {"bo@example.com", `"code":"name_taken"`, 409}} {
		status, _, text := a.ask("POST", "/api/auth/sign-up", fmt.Sprintf(
			`{"email":%q,"password":"a long secret","name":"Ana"}`, c.email), "Content-Type", "application/json")
		_, _, profiles := a.ask("GET", "/api/profiles", "")
		if n := strings.Count(profiles, `"text":"Ana"`); n != 1 || status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: got %d %s, and %d profiles", c.email, status, text, n)
		}
	}
}
