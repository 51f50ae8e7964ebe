package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/store/storetest"
)

const (
	kills    = 30
	clients  = 8
	accounts = 4
	each     = 1000 // what every account begins with
)

// sent is a write with its key, and the answer if there was one.
type sent struct {
	path, key, body string
	answer          string
}

// crash is a serving process under load that is killed again and again.
type crash struct {
	t      *testing.T
	server *server.Server
	client *http.Client
	ids    []string
	seed   uint64
}

// TestKilledWhileServing kills a serving process at random moments under load. After
// each kill everything that was answered is there, a retry of what was not has one
// effect, and no money was made or lost; in the end the fold of the journal is what
// the tables hold.
func TestKilledWhileServing(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	c := &crash{t: t, seed: uint64(time.Now().UnixNano()), client: &http.Client{}}
	t.Logf("seed %d", c.seed)
	c.server = &server.Server{Galley: filepath.Join(dir, "galley"), App: "testdata/crash",
		Data: filepath.Join(dir, "data")}
	if err := server.Build(ctx, "../..", c.server.Galley); err != nil {
		t.Fatal(err)
	}
	c.fill(ctx, dir)
	acked := 0
	for round := range kills {
		if err := c.server.Start(ctx); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		all := c.load(ctx, round)
		if err := c.server.Start(ctx); err != nil {
			t.Fatalf("round %d, after the kill: %v", round, err)
		}
		acked += c.judge(ctx, all)
		if err := c.server.Stop(); err != nil {
			t.Fatal(err)
		}
		c.client.CloseIdleConnections()
	}
	t.Logf("%d kills, %d acknowledged writes", kills, acked)
	if acked < kills*10 {
		t.Errorf("only %d writes were acknowledged: there was no load", acked)
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(c.server.Data, "galley.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := storetest.Fold(ctx, s); err != nil {
		t.Errorf("the fold of the journal: %v", err)
	}
}

// fill brings the accounts in.
func (c *crash) fill(ctx context.Context, dir string) {
	var lines strings.Builder
	for i := range accounts {
		id := fmt.Sprintf("01m00000000000000000000%03d", i)
		c.ids = append(c.ids, id)
		fmt.Fprintf(&lines, `{"id":%q,"balance":%d}`+"\n", id, each)
	}
	name := filepath.Join(dir, "accounts.jsonl")
	if err := os.WriteFile(name, []byte(lines.String()), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.server.Run(ctx, "import", "accounts", name); err != nil {
		c.t.Fatal(err)
	}
}

// load sends writes from many clients until the server is killed at a moment of
// chance, and returns all of them.
func (c *crash) load(ctx context.Context, round int) []sent {
	var mu sync.Mutex
	var all []sent
	var group sync.WaitGroup
	chance := rand.New(rand.NewPCG(c.seed, uint64(round)))
	enough := make(chan struct{}, 1)
	want := 20 + chance.IntN(400)
	for n := range clients {
		r := rand.New(rand.NewPCG(c.seed, uint64(round*clients+n+1000)))
		group.Go(func() {
			for i := 0; ; i++ {
				x := c.write(r, fmt.Sprintf("%d-%d-%d", round, n, i))
				status, answer, err := c.send(ctx, x)
				if err == nil && status < 300 {
					x.answer = answer
				}
				mu.Lock()
				all = append(all, x)
				if len(all) == want {
					enough <- struct{}{}
				}
				mu.Unlock()
				if err != nil {
					return // the server is gone
				}
			}
		})
	}
	<-enough
	if err := c.server.Kill(); err != nil {
		c.t.Fatal(err)
	}
	group.Wait()
	return all
}

// write draws a write.
func (c *crash) write(r *rand.Rand, key string) sent {
	if r.IntN(2) == 0 {
		return sent{path: "/api/notes", key: key, body: fmt.Sprintf(`{"text":%q}`, key)}
	}
	from := r.IntN(accounts)
	to := (from + 1 + r.IntN(accounts-1)) % accounts
	return sent{path: "/api/actions/move", key: key, body: fmt.Sprintf(
		`{"from":%q,"to":%q,"amount":%d}`, c.ids[from], c.ids[to], 1+r.IntN(5))}
}

func (c *crash) send(ctx context.Context, x sent) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server.Address+x.path,
		strings.NewReader(x.body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", x.key)
	res, err := c.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// judge asks for what was acknowledged, tries again what was not, and counts.
func (c *crash) judge(ctx context.Context, all []sent) (acked int) {
	for _, x := range all {
		if x.answer != "" {
			acked++
			if _, again, err := c.send(ctx, x); err != nil || again != x.answer {
				c.t.Errorf("%s was answered %s, and after the kill %s (%v)", x.key, x.answer, again, err)
			}
			continue
		}
		_, one, err1 := c.send(ctx, x)
		_, two, err2 := c.send(ctx, x)
		if err1 != nil || err2 != nil || kept(one) != kept(two) {
			c.t.Errorf("two retries of %s: %s (%v), %s (%v)", x.key, one, err1, two, err2)
		}
	}
	for _, x := range all {
		if x.path != "/api/notes" {
			continue
		}
		var page struct{ Items []struct{ ID string } }
		c.get(ctx, "/api/notes?text="+x.key, &page)
		if len(page.Items) != 1 {
			c.t.Errorf("note %s is there %d times", x.key, len(page.Items))
		}
	}
	var page struct{ Items []struct{ Balance int64 } }
	c.get(ctx, "/api/accounts", &page)
	var sum int64
	for _, a := range page.Items {
		sum += a.Balance
		if a.Balance < 0 {
			c.t.Errorf("an account is at %d", a.Balance)
		}
	}
	if sum != accounts*each {
		c.t.Errorf("the accounts hold %d, want %d", sum, accounts*each)
	}
	return acked
}

// kept is an answer without the id of the request, in which a problem's two sendings
// differ.
func kept(answer string) string {
	before, _, _ := strings.Cut(answer, `,"request":`)
	return before
}

func (c *crash) get(ctx context.Context, path string, to any) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.Address+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || json.NewDecoder(bytes.NewReader(text)).Decode(to) != nil {
		c.t.Fatalf("GET %s: %d %s %v", path, res.StatusCode, text, err)
	}
}
