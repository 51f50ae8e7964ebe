package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

const notes = `app: drill
collections:
  notes:
    fields:
      text: {type: string, max: 280}
    allow:
      read: true
      create: {if: true, fields: [text]}
`

// server is galley serve as a process of its own.
type server struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string
	errs    *bytes.Buffer
}

func (p *place) server(data string, more ...string) *server {
	p.t.Helper()
	cmd := p.process(context.Background(), append([]string{"serve", "--listen", "127.0.0.1:0",
		"--limits", "off", "--data", data}, more...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	errs := &bytes.Buffer{}
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	s := &server{t: p.t, cmd: cmd, errs: errs}
	p.t.Cleanup(s.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), " at "); ok {
			s.address = address
			break
		}
	}
	if s.address == "" {
		s.kill()
		p.t.Fatalf("the server did not start: %s", errs.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // what it still says is not wanted
	return s
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // as above
}

// post makes a note under a key and returns its id and whether it was made before.
func post(address, key string) (id string, replayed bool, err error) {
	req, err := http.NewRequest(http.MethodPost, address+"/api/notes",
		strings.NewReader(fmt.Sprintf(`{"text":%q}`, key)))
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "", false, err
	}
	var note struct{ ID string }
	if res.StatusCode != http.StatusCreated || json.Unmarshal(text, &note) != nil {
		return "", false, fmt.Errorf("%s: %s", res.Status, text)
	}
	return note.ID, res.Header.Get("Idempotent-Replayed") == "true", nil
}

// callers make notes all the time. What they were told is kept.
type callers struct {
	work   sync.WaitGroup
	stop   atomic.Bool
	count  atomic.Int64
	mu     sync.Mutex
	acked  map[string]string
	failed error
}

func call(address, name string) *callers {
	c := &callers{acked: map[string]string{}}
	for i := range 4 {
		c.work.Go(func() {
			for n := 0; !c.stop.Load(); n++ {
				key := fmt.Sprintf("%s-%d-%d", name, i, n)
				id, _, err := post(address, key)
				c.mu.Lock()
				if err != nil {
					if c.failed == nil && !c.stop.Load() {
						c.failed = err
					}
					c.mu.Unlock()
					return
				}
				c.acked[key] = id
				c.mu.Unlock()
				c.count.Add(1)
			}
		})
	}
	return c
}

// until waits for so many notes.
func (c *callers) until(t *testing.T, n int64) map[string]string {
	t.Helper()
	late := time.Now().Add(soon)
	for tick := time.NewTicker(5 * time.Millisecond); c.count.Load() < n; <-tick.C {
		if time.Now().After(late) {
			t.Fatalf("%d notes in %v: %v", c.count.Load(), soon, c.failed)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := make(map[string]string, len(c.acked))
	for key, id := range c.acked {
		now[key] = id
	}
	return now
}

func (c *callers) end() {
	c.stop.Store(true)
	c.work.Wait()
}

// has asks that a data folder has every note that was acknowledged, once.
func (p *place) has(data string, acked map[string]string) {
	p.t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(p.want(exitDone, "", "export", "notes", "--data", data).out) {
		var note struct{ ID, Text string }
		if err := json.Unmarshal([]byte(line), &note); err != nil {
			p.t.Fatal(err)
		}
		if found[note.Text] != "" {
			p.t.Errorf("%s is there twice", note.Text)
		}
		found[note.Text] = note.ID
	}
	for key, id := range acked {
		if found[key] != id {
			p.t.Fatalf("%s is %q, and was acknowledged as %q", key, found[key], id)
		}
	}
}

// TestRestoreDrill takes a backup of a server under load, kills it, and restores.
func TestRestoreDrill(t *testing.T) {
	p := newPlace(t, notes)
	dir := func(name string) string { return filepath.Join(p.dir, name) }
	s := p.server(dir("data"))
	load := call(s.address, "drill")
	before := load.until(t, 300)
	p.want(exitDone, "verified", "backup", dir("a.galley"), "--data", dir("data"))
	load.until(t, load.count.Load()+200)
	s.kill()
	load.end()
	p.want(exitDone, "verified", "backup", "--verify", dir("a.galley"))
	p.want(exitFailed, "not empty", "restore", dir("a.galley"), "--data", dir("data"))
	p.want(exitFailed, "never written over", "backup", dir("a.galley"), "--data", dir("data"))
	p.want(exitDone, "restored", "restore", dir("a.galley"), "--data", dir("one"))
	p.has(dir("one"), before)
	p.want(exitDone, "verified", "backup", dir("again.galley"), "--data", dir("one"))
	p.want(exitDone, "restored", "restore", dir("a.galley"), "--data", dir("two"),
		"--journal", "sqlite:"+filepath.Join(dir("data"), "galley.db"))
	p.has(dir("two"), load.acked)
	p.want(exitDone, "2 commits up to entry 2", "restore", dir("a.galley"), "--data", dir("one"),
		"--to", "2", "--replace")
	p.want(exitFailed, "before", "restore", dir("a.galley"), "--data", dir("three"), "--to", "1000000")
	p.want(exitDone, "made before that moment", "restore", dir("a.galley"), "--data", dir("three"),
		"--to", "2999-01-01T00:00:00Z")
	p.want(exitUsage, "--to is an instant", "restore", dir("a.galley"), "--to", "noon")
	p.want(exitFailed, "no such file", "restore", dir("b.galley"))
	s = p.server(dir("two"))
	for key, want := range load.acked {
		id, replayed, err := post(s.address, key)
		if err != nil || !replayed || id != want {
			t.Fatalf("%s after a restore: %s, replayed %v, %v; want %s", key, id, replayed, err, want)
		}
	}
	p.want(exitFailed, "Stop it first", "restore", dir("a.galley"), "--data", dir("two"), "--replace")
}

// many writes a file with so many notes.
func (p *place) many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"text":"old-%d"}`+"\n", i)
	}
	p.write("many.jsonl", b.String())
	return filepath.Join(p.dir, "many.jsonl")
}

// TestACommandMeansTheDatabaseThatItNames runs commands beside a server of another
// database, on whose data folder they are.
func TestACommandMeansTheDatabaseThatItNames(t *testing.T) {
	p := newPlace(t, notes)
	dir := func(name string) string { return filepath.Join(p.dir, name) }
	own, other := "sqlite:"+filepath.Join(dir("data"), "galley.db"), "sqlite:"+dir("other.db")
	s := p.server(dir("data"))
	if _, _, err := post(s.address, "here"); err != nil {
		t.Fatal(err)
	}
	count := func(want string, more ...string) {
		t.Helper()
		args := append([]string{"get", "notes", "--total", "--data", dir("data")}, more...)
		p.want(exitDone, want, args...)
	}
	count("1 in all")
	count("1 in all", "--database", own)
	count("0 in all", "--database", other)
	p.want(exitDone, "1 commit up to entry 1", "backup", dir("other.galley"), "--data", dir("data"),
		"--database", other)
	p.want(exitDone, "2 commits up to entry 2", "backup", dir("own.galley"), "--data", dir("data"))
	p.want(exitFailed, "A server runs", "restore", dir("own.galley"), "--data", dir("data"),
		"--database", own, "--replace")
	p.want(exitDone, "restored", "restore", dir("own.galley"), "--data", dir("data"),
		"--database", other, "--replace")
	count("1 in all", "--database", other)
	p.want(exitFailed, "the database to leave, and the one to move to", "move", "--data", dir("apart"),
		"--from", other, "--to", other)
	p.want(exitFailed, "another database than "+other, "move", "--data", dir("data"),
		"--database", other, "--to", "sqlite:"+dir("third.db"))
	p.want(exitDone, "already", "move", "--data", dir("data"), "--to", own)
}

// TestAFileThatCannotBeIsNamedOnce makes backups where none can be, and restores of what is
// none, into folders with names of several words.
func TestAFileThatCannotBeIsNamedOnce(t *testing.T) {
	p := newPlace(t, notes)
	dir := filepath.Join(p.dir, `my "odd" shop's data`)
	p.want(exitDone, "", "set", "notes", "text=one", "--data", dir)
	file := filepath.Join(dir, "a b.galley")
	p.want(exitDone, "verified", "backup", file, "--data", dir)
	p.write("page.html", "<html>")
	page, none := filepath.Join(p.dir, "page.html"), filepath.Join(p.dir, "none")
	for _, c := range []struct {
		want, name string
		args       []string
	}{
		{"there is no folder " + none, none, []string{"backup", filepath.Join(none, "x.galley")}},
		{page + " is no folder", page, []string{"backup", filepath.Join(page, "x.galley")}},
		{"is there already", page, []string{"backup", page}},
		{"is no backup of galley", page, []string{"backup", "--verify", page}},
		{"is no backup of galley", page, []string{"restore", page}},
		{"no such file", none, []string{"restore", none}},
		{"its first entry is of 2", "", []string{"restore", file, "--to", "2001-01-01"}},
		{"ends at 2, before 7", "", []string{"restore", file, "--to", "7"}},
	} {
		args := append(c.args, "--data", dir)
		if c.args[0] == "restore" {
			args = append(args, "--replace")
		}
		got := p.want(exitFailed, c.want, args...)
		if c.name != "" && strings.Count(got.err, c.name) != 1 {
			t.Errorf("galley %s: %s", strings.Join(c.args, " "), got.err)
		}
	}
	p.want(exitDone, "one", "get", "notes", "--data", dir)
}

// TestMoveDrill moves the database of a server under load. The command is killed at
// random moments and run again; every call is answered well, and once.
func TestMoveDrill(t *testing.T) {
	p := newPlace(t, notes)
	old, next := filepath.Join(p.dir, "data"), filepath.Join(p.dir, "next")
	to := "sqlite:" + filepath.Join(next, "galley.db")
	s := p.server(old)
	p.want(exitDone, "12000 of 12000", "import", "notes", p.many(12000), "--data", old)
	load := call(s.address, "drill")
	kills := p.untilMoved(t, old, to)
	after := load.count.Load()
	load.until(t, after+100)
	load.end()
	if load.failed != nil {
		t.Errorf("a call failed: %v", load.failed)
	}
	t.Logf("%d kills, %d calls before the end of the move", kills, after)
	p.want(exitDone, "", "get", "notes", "--limit", "1", "--data", old) // the server goes on
	s.kill()
	p.want(exitFailed, "was moved to", "get", "notes", "--data", old)
	p.want(exitFailed, "was moved to", "serve", "--data", old, "--listen", "127.0.0.1:0")
	p.has(next, load.acked)
	s = p.server(next)
	for key, want := range load.acked {
		id, replayed, err := post(s.address, key)
		if err != nil || !replayed || id != want {
			t.Fatalf("%s after a move: %s, replayed %v, %v; want %s", key, id, replayed, err, want)
		}
	}
}

// TestMoveToAServerAndBack moves from a file to a server of databases, on which a
// second process then serves too, and home again, all under load. The second process
// ends when its database is left.
func TestMoveToAServerAndBack(t *testing.T) {
	p := newPlace(t, notes)
	dir := func(name string) string { return filepath.Join(p.dir, name) }
	url := pgtest.Start(t).Database(t)
	home := "sqlite:" + filepath.Join(dir("data"), "galley.db")
	s := p.server(dir("data"))
	p.want(exitDone, "", "import", "notes", p.many(3000), "--data", dir("data"))
	load := call(s.address, "one")
	load.until(t, 100)
	p.want(exitDone, "writes waited", "move", "--from", home, "--to", url, "--data", dir("data"))
	load.until(t, load.count.Load()+100)
	second := p.server(dir("second"), "--database", url)
	more := call(second.address, "two")
	more.until(t, 50)
	if _, replayed, err := post(second.address, "one-0-0"); err != nil || !replayed {
		t.Errorf("a key of before the move: replayed %v, %v", replayed, err)
	}
	more.end()
	p.want(exitDone, "writes waited", "move", "--to", home, "--data", dir("data"))
	load.until(t, load.count.Load()+100)
	load.end()
	if err := errors.Join(load.failed, more.failed); err != nil {
		t.Errorf("a call failed: %v", err)
	}
	if err := second.cmd.Wait(); err == nil || !strings.Contains(second.errs.String(), "was moved to") {
		t.Errorf("the second server: %v: %s", err, second.errs.String())
	}
	s.kill()
	p.want(exitFailed, "was moved to", "get", "notes", "--data", dir("third"), "--database", url)
	for key, id := range more.acked {
		load.acked[key] = id
	}
	p.has(dir("data"), load.acked)
	p.want(exitDone, "verified", "backup", dir("a.galley"), "--data", dir("data"))
	p.want(exitFailed, "not empty", "restore", dir("a.galley"), "--database", url)
	p.want(exitDone, "restored", "restore", dir("a.galley"), "--database", url, "--replace")
	p.want(exitDone, "one-0-0", "export", "notes", "--database", url)
}

// untilMoved runs the command until it comes to its end, killed ever later.
func (p *place) untilMoved(t *testing.T, data, to string) (kills int) {
	t.Helper()
	for wait := 40 * time.Millisecond; ; wait += wait / 4 {
		ctx, cancel := context.WithTimeout(t.Context(),
			wait+time.Duration(rand.IntN(40))*time.Millisecond)
		var errs bytes.Buffer
		cmd := p.process(ctx, "move", "--to", to, "--data", data)
		cmd.Stderr = &errs
		err := cmd.Run()
		over := ctx.Err() != nil
		cancel()
		if err == nil {
			return kills
		}
		// The server may take a moment to hear of the end of its client: who comes next waits.
		if !over || wait > soon {
			t.Fatalf("after %d kills: %v: %s", kills, err, errs.String())
		}
		kills++
	}
}

// TestMoveOutlivesTheServer kills the server while it moves, and starts it again. A move
// that was over before anybody could be killed shows nothing; then there is another.
func TestMoveOutlivesTheServer(t *testing.T) {
	const most = 10
	for n := 1; moveOutlivesTheServer(t) == 0; n++ {
		if n == most {
			t.Fatal("nothing was killed, so nothing was tried")
		}
	}
}

func moveOutlivesTheServer(t *testing.T) (kills int) {
	p := newPlace(t, notes)
	old, next := filepath.Join(p.dir, "data"), filepath.Join(p.dir, "next")
	to := "sqlite:" + filepath.Join(next, "galley.db")
	s := p.server(old)
	p.want(exitDone, "", "import", "notes", p.many(6000), "--data", old)
	acked := map[string]string{}
	for wait := 5 * time.Millisecond; ; wait += wait/4 + 5*time.Millisecond {
		load := call(s.address, fmt.Sprint("round", kills))
		cmd := p.process(t.Context(), "move", "--to", to, "--data", old)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if kills == 0 {
			// Without the server the command would move by itself: it has to be asked before.
			for _, err := os.Stat(filepath.Join(next, "galley.db")); err != nil && len(ended) == 0; {
				<-time.After(time.Millisecond)
				_, err = os.Stat(filepath.Join(next, "galley.db"))
			}
		}
		var err error
		select {
		case err = <-ended:
		case <-time.After(wait):
			s.kill()
			err = <-ended
		}
		load.end()
		for key, id := range load.acked {
			acked[key] = id
		}
		if err == nil {
			break
		}
		s.kill()
		if kills++; kills > 100 {
			t.Fatal("the move does not come to its end")
		}
		if got := p.galley("get", "notes", "--limit", "1", "--data", old); got.code != exitDone {
			// It was killed after it had left: the same command ends the move.
			p.want(exitFailed, "was moved to", "get", "notes", "--data", old)
			p.want(exitDone, "", "move", "--to", to, "--data", old)
			break
		}
		s = p.server(old)
	}
	s.kill()
	t.Logf("%d kills, %d notes", kills, len(acked))
	p.has(next, acked)
	if _, err := os.Stat(filepath.Join(next, "galley.db")); err != nil {
		t.Error(err)
	}
	return kills
}
