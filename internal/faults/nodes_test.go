package faults

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/do/server"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
)

const (
	// clients is how many send calls, to any node.
	clients = 6
	// accounts have together what they began with.
	accounts = 4
	each     = 1000
	// between is how many calls more are to be answered between two faults.
	between = 40
)

// bank is an app whose calls show when they were done twice, or not at all.
const bank = `app: bank
collections:
  notes:
    fields:
      text: {type: string, max: 80}
    allow:
      read:   true
      create: {if: true, fields: [text]}
  accounts:
    fields:
      balance: {type: money, default: 0}
    check:
      overdrawn: record.balance >= 0
    allow:
      read: true
actions:
  move:
    allow: true
    input:
      from:   accounts
      to:     accounts
      amount: {type: money, min: 1}
    output: {left: money}
`

const move = `import { action } from "galley";
export default action("move", async (tx, { from, to, amount }) => {
  const a = await tx.db.accounts.get(from);
  const b = await tx.db.accounts.get(to);
  const { balance } = await tx.db.accounts.update(a, { balance: a.balance - amount });
  await tx.db.accounts.update(b, { balance: b.balance + amount });
  return { left: balance };
});
`

// fleet is processes on one database, and clients who ask any of them.
type fleet struct {
	*testing.T
	seed   uint64
	nodes  []*server.Server
	client *http.Client

	mu sync.Mutex
	// at is where each node listens; "" while it is dead.
	at   []string
	told map[string]reply
	more chan struct{}
	// again counts the calls that were sent again, replayed those whose first sending
	// turned out to be kept, and elsewhere those of them that another node answered.
	again, replayed, elsewhere int
}

// request is a call with its key, reply what it was answered in the end.
type request struct{ path, key, body string }

type reply struct {
	request
	status int
	text   string
}

// launch starts processes by the addresses of their database, the first of which makes
// the app's collections.
func launch(t *testing.T, addresses ...string) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "g") // short, because a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{T: t, seed: uint64(time.Now().UnixNano()), told: map[string]reply{},
		more: make(chan struct{}), client: &http.Client{Timeout: attempt},
		at: make([]string, len(addresses))}
	t.Logf("seed %d", f.seed)
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		for i, n := range f.nodes {
			if f.at[i] == "" {
				continue
			}
			if err := n.Stop(); err != nil {
				t.Error(err)
			}
		}
		_ = os.RemoveAll(dir)
	})
	galley := filepath.Join(dir, "galley")
	if err := server.Build(t.Context(), "../..", galley); err != nil {
		t.Fatal(err)
	}
	app := filepath.Join(dir, "app")
	var lines strings.Builder
	for i := range accounts {
		fmt.Fprintf(&lines, `{"id":%q,"balance":%d}`+"\n", account(i), each)
	}
	for name, text := range map[string]string{"galley.yaml": bank, "actions/move.ts": move,
		"accounts.jsonl": lines.String()} {
		name = filepath.Join(app, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, address := range addresses {
		f.nodes = append(f.nodes, &server.Server{Galley: galley, App: app, Database: address,
			Data: filepath.Join(dir, fmt.Sprint(i))})
		f.start(i)
		if i == 0 {
			_, err := f.nodes[0].Run(t.Context(), "import", "accounts",
				filepath.Join(app, "accounts.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

func account(i int) string { return fmt.Sprintf("01m00000000000000000000%03d", i) }

// start starts a node that does not run.
func (f *fleet) start(i int) {
	f.Helper()
	if err := f.nodes[i].Start(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[i] = f.nodes[i].Address
}

// kill ends a node as a power cut would.
func (f *fleet) kill(i int) {
	f.Helper()
	if err := f.nodes[i].Kill(); err != nil {
		f.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[i] = ""
}

// pick draws a node, which may have died already.
func (f *fleet) pick(rnd *rand.Rand) (int, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := rnd.IntN(len(f.at))
	return i, f.at[i]
}

// send sends a request to an address and returns the answer and whether it is a replay.
func (f *fleet) send(ctx context.Context, at string, x request) (reply, bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at+x.path,
		strings.NewReader(x.body))
	if err != nil {
		return reply{}, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", x.key)
	res, err := f.client.Do(req)
	if err != nil {
		return reply{}, false, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	// Two sendings of a problem differ in the name of the request.
	answer, _, _ := strings.Cut(string(text), `,"request":`)
	return reply{x, res.StatusCode, answer}, res.Header.Get("Idempotent-Replayed") != "", err
}

// load sends calls until stop is closed, each until it is answered by some node.
func (f *fleet) load(stop <-chan struct{}) *sync.WaitGroup {
	var group sync.WaitGroup
	for n := range clients {
		rnd := rand.New(rand.NewPCG(f.seed, uint64(n)))
		group.Go(func() {
			for i := 0; f.Context().Err() == nil; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if !f.insist(rnd, f.draw(rnd, fmt.Sprintf("%d-%d", n, i))) {
					return
				}
			}
		})
	}
	return &group
}

func (f *fleet) draw(rnd *rand.Rand, key string) request {
	if rnd.IntN(2) == 0 {
		return request{"/api/notes", key, fmt.Sprintf(`{"text":%q}`, key)}
	}
	from := rnd.IntN(accounts)
	to := (from + 1 + rnd.IntN(accounts-1)) % accounts
	return request{"/api/actions/move", key, fmt.Sprintf(`{"from":%q,"to":%q,"amount":%d}`,
		account(from), account(to), 1+rnd.IntN(90))}
}

// insist sends a call with one key, to one node and then another, until it is answered.
func (f *fleet) insist(rnd *rand.Rand, x request) bool {
	unknown, first := false, -1
	for began := time.Now(); f.Context().Err() == nil; <-time.After(pause) {
		if time.Since(began) > patience {
			f.Errorf("%s was not answered in %v", x.key, patience)
			return false
		}
		i, at := f.pick(rnd)
		if at == "" {
			continue
		}
		if first < 0 {
			first = i
		}
		got, again, err := f.send(f.Context(), at, x)
		switch {
		case err != nil:
			unknown = true
			continue
		case got.status >= 500 || strings.Contains(got.text, `"code":"in_progress"`):
			unknown = unknown || strings.Contains(got.text, `"code":"unknown"`)
			if strings.Contains(got.text, `"code":"internal"`) {
				f.Errorf("%s was answered %s", x.key, got.text)
			}
			f.mu.Lock()
			f.again++
			f.mu.Unlock()
			continue
		}
		if again && !unknown {
			f.Errorf("%s was said not to be kept, and now it is a replay: %+v", x.key, got)
		}
		f.mu.Lock()
		if again {
			f.replayed++
			if i != first {
				f.elsewhere++
			}
		}
		f.told[x.key] = got
		close(f.more)
		f.more = make(chan struct{})
		f.mu.Unlock()
		return true
	}
	return false
}

// progress waits until so many calls more are answered.
func (f *fleet) progress(n int) {
	f.Helper()
	limit := time.After(patience)
	f.mu.Lock()
	goal, now := len(f.told)+n, len(f.told)
	f.mu.Unlock()
	for now < goal {
		f.mu.Lock()
		more := f.more
		now = len(f.told)
		f.mu.Unlock()
		if now >= goal {
			return
		}
		select {
		case <-more:
		case <-limit:
			f.Fatalf("the service did not resume in %v: %d of %d", patience, now, goal)
		}
	}
}

// judge asks the nodes for every answer again, and compares the database, opened by an
// address, with what the clients were told.
func (f *fleet) judge(address string) {
	f.Helper()
	ctx := f.Context()
	rnd := rand.New(rand.NewPCG(f.seed, clients))
	refused, notes := 0, 0
	for _, want := range f.told {
		_, at := f.pick(rnd)
		got, again, err := f.send(ctx, at, want.request)
		if err != nil || got != want || !again && want.status < 300 {
			f.Errorf("%s was answered %+v, and now %+v (a replay: %t) %v", want.key, want, got,
				again, err)
		}
		if want.status >= 300 {
			refused++
		} else if want.path == "/api/notes" {
			notes++
		}
	}
	s, err := postgres.Open(ctx, postgres.Config{URL: address})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	if err := storetest.Fold(ctx, s); err != nil {
		f.Errorf("the fold of the journal: %v", err)
	}
	entries, err := storetest.Journal(ctx, s)
	if err != nil {
		f.Fatal(err)
	}
	held := map[string]journal.Seq{}
	for i, e := range entries {
		if e.Seq.Lo != entries[0].Seq.Lo+uint64(i) {
			f.Errorf("the journal's %dth entry is %v", i, e.Seq)
		}
		if _, ok := f.told[e.Origin.Key]; !ok {
			continue
		}
		if first, ok := held[e.Origin.Key]; ok {
			f.Errorf("%s has the entries %v and %v", e.Origin.Key, first, e.Seq)
		}
		held[e.Origin.Key] = e.Seq
	}
	sum, seen := int64(0), map[string]bool{}
	rows := func(collection string) {
		w := &world{T: f.T, ctx: ctx}
		found, err := w.rows(s, collection)
		if err != nil {
			f.Fatal(err)
		}
		for _, r := range found {
			if collection == "accounts" {
				sum += r.Get("balance").Int()
				continue
			}
			if text := r.Get("text").Text(); seen[text] || f.told[text].key == "" {
				f.Errorf("the note %s is there twice, or nobody's", text)
			} else {
				seen[text] = true
			}
		}
	}
	rows("accounts")
	rows("notes")
	if sum != accounts*each || len(seen) != notes {
		f.Errorf("the accounts hold %d, want %d; there are %d notes, want %d", sum,
			accounts*each, len(seen), notes)
	}
	f.Logf("%d calls, %d of them refused; %d answers made a client ask again, %d calls were "+
		"found to be kept, %d of them by another node", len(f.told), refused, f.again, f.replayed,
		f.elsewhere)
}

// TestNodesAreKilled kills processes of Galley, one after the other and in the midst of
// everything, cuts their connections to the server, and ends the server itself, while
// clients ask whichever node answers: each call is done once, whoever answers it.
func TestNodesAreKilled(t *testing.T) {
	c := pgtest.Start(t)
	address := c.Database(t)
	cutting, through := stand(t, address)
	f := launch(t, address, through, address)
	stop := make(chan struct{})
	loading := f.load(stop)
	rnd := rand.New(rand.NewPCG(f.seed, clients+1))
	f.progress(between)
	for round := range kills {
		for i := range f.nodes {
			f.kill(i)
			f.progress(between / 4)
			f.start(i)
			f.progress(between / 4)
		}
		cutting.cut(rnd, rnd.IntN(cutWays))
		f.progress(between)
		c.Kill(t)
		if victim := round % len(f.nodes); round%2 == 0 {
			f.kill(victim)
			c.Restart(t)
			f.start(victim)
		} else {
			c.Restart(t)
		}
		f.progress(between)
	}
	close(stop)
	loading.Wait()
	f.judge(address)
	if f.replayed == 0 && f.again == 0 {
		t.Error("nobody had to ask again: there was no load")
	}
}
