package channel_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// wire is a bus in memory, which can lose words.
type wire struct {
	mu   sync.Mutex
	ears map[*ear]bool
	// lose says which words are lost.
	lose func(word string) bool
}

type ear struct{ words chan []byte }

// end is one process's end of a wire.
type end struct {
	*wire
	cut bool
}

func (e *end) Publish(_ context.Context, word []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cut || e.lose != nil && e.lose(string(word)) {
		return nil
	}
	for x := range e.ears {
		x.words <- word
	}
	return nil
}

func (e *end) Listen(ctx context.Context, hear func([]byte)) error {
	x := &ear{words: make(chan []byte, 10_000)}
	e.mu.Lock()
	e.ears[x] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.ears, x)
		e.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-x.words:
			hear(w)
		}
	}
}

// two returns two processes on one database, and the bus between them. A process that is
// kept waiting misses its beats: only in the time of synctest nobody is taken for gone.
func two(t *testing.T) (one, other *world, at, from *end) {
	t.Helper()
	w := &wire{ears: map[*ear]bool{}}
	at, from = &end{wire: w}, &end{wire: w}
	db, a := database(t, kanban)
	const beat = 50 * time.Millisecond
	one = on(t, db, a, channel.Config{Bus: at, Beat: beat})
	other = on(t, db, a, channel.Config{Bus: from, Beat: beat})
	return one, other, at, from
}

// until takes events until one holds the text.
func (g *guest) until(part string) string {
	g.w.t.Helper()
	for {
		if got := g.next(); strings.Contains(got, part) {
			return got
		}
	}
}

func TestMembersOfTwoProcessesHearOneAnother(t *testing.T) {
	synctest.Test(t, membersOfTwoProcessesHearOneAnother)
}

func membersOfTwoProcessesHearOneAnother(t *testing.T) {
	one, other, _, _ := two(t)
	ana := one.user("Ana")
	a, b := one.connect("c1", ana), other.connect("c2", "")
	if _, err := a.join("room/x", `"<here>"`); err != nil {
		t.Fatal(err)
	}
	all, err := b.join("room/x", "")
	if err != nil {
		t.Fatal(err)
	}
	shown := `{"who":"c1","user":{"id":"` + ana + `","name":"Ana"},"state":"<here>"}`
	if !strings.Contains(all, shown) {
		b.until(`"joined":` + shown)
	}
	a.until(`"joined":{"who":"c2","user":null}`)
	if err := a.send("room/x", `"<b>"`); err != nil {
		t.Fatal(err)
	}
	b.want(`{"channel":"room/x","from":"c1","user":"` + ana + `","message":"<b>"}`)
	if err := b.State("room/x", []byte("7")); err != nil {
		t.Fatal(err)
	}
	a.want(`{"channel":"room/x","state":{"who":"c2","value":7}}`)
	b.Close()
	a.want(`{"channel":"room/x","left":"c2"}`)
	if c := other.connect("c3", ""); true {
		if all, err := c.join("room/x", ""); err != nil || !strings.Contains(all, shown) {
			t.Errorf("who comes later sees %s, %v", all, err)
		}
	}
}

func TestAProcessThatDiesTakesItsMembersAlong(t *testing.T) {
	synctest.Test(t, aProcessThatDiesTakesItsMembersAlong)
}

func aProcessThatDiesTakesItsMembersAlong(t *testing.T) {
	one, other, _, from := two(t)
	a, b := one.connect("c1", ""), other.connect("c2", "")
	for _, g := range []*guest{a, b} {
		if _, err := g.join("room/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	a.until(`"joined":{"who":"c2"`)
	from.mu.Lock()
	from.cut = true
	from.mu.Unlock()
	a.want(`{"channel":"room/x","left":"c2"}`)
	// It was only not heard: what happened meanwhile is made up for.
	c := other.connect("c3", "")
	if _, err := c.join("room/x", ""); err != nil {
		t.Fatal(err)
	}
	b.Close()
	from.mu.Lock()
	from.cut = false
	from.mu.Unlock()
	a.want(`{"channel":"room/x","joined":{"who":"c3","user":null}}`)
}

func TestWordsThatAreLostAreAskedFor(t *testing.T) { synctest.Test(t, wordsThatAreLostAreAskedFor) }

func wordsThatAreLostAreAskedFor(t *testing.T) {
	one, other, at, _ := two(t)
	a, b := one.connect("c1", ""), other.connect("c2", "")
	for _, g := range []*guest{a, b} {
		if _, err := g.join("room/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	a.until(`"joined":{"who":"c2"`)
	at.mu.Lock()
	at.lose = func(word string) bool { return strings.Contains(word, `"k":`) && !strings.Contains(word, `"from"`) }
	at.mu.Unlock()
	for n := range 10 {
		if _, err := other.connect(fmt.Sprint("d", n), "").join("room/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	seen := map[string]bool{}
	for len(seen) < 11 {
		got := a.next()
		for n := range 10 {
			if strings.Contains(got, fmt.Sprintf(`"joined":{"who":"d%d"`, n)) {
				seen[fmt.Sprint(n)] = true
			}
		}
		if strings.Contains(got, `"left":"c2"`) {
			seen["left"] = true
		}
	}
}

func TestProcessesOnOneServerHearOneAnother(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	a := compile(t, kanban)
	open := func() *postgres.Store {
		t.Helper()
		db, err := postgres.Open(t.Context(), postgres.Config{URL: url, Readers: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
	db := open()
	apply(t, db, a)
	next := open()
	// Who is not heard for four beats is taken for gone.
	const beat = 3 * time.Second
	one := on(t, db, a, channel.Config{Bus: db, Beat: beat})
	other := on(t, next, a, channel.Config{Bus: next, Beat: beat})
	ana, ben := one.user("Ana"), one.user("Ben")
	board := one.create("boards", `{"name":"Plans"}`)
	one.member(board, ana)
	ended := one.member(board, ben)
	name := "board/" + board
	x, y := one.connect("c1", ana), other.connect("c2", ben)
	if _, err := x.join(name, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := y.join(name, `"`+strings.Repeat("ü", 2000)+`"`); err != nil {
		t.Fatal(err)
	}
	x.until(`"joined":{"who":"c2"`)
	text := `"` + strings.Repeat("€", 5000) + `"`
	for n := range 5 {
		if err := y.send(name, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := y.send(name, text); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		x.want(fmt.Sprintf(`{"channel":"%s","from":"c2","user":"%s","message":%d}`, name, ben, n))
	}
	x.want(fmt.Sprintf(`{"channel":"%s","from":"c2","user":"%s","message":%s}`, name, ben, text))
	// What one process commits, ends a membership at the other.
	one.remove("members", ended)
	y.until(`"ended":{"code":"forbidden"}`)
	x.until(`"left":"c2"`)
}
