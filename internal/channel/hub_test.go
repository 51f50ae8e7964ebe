package channel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// fickle lets in whom it likes.
type fickle struct{ app *app.App }

func (f fickle) App() *app.App { return f.app }

func (f fickle) Enter(_ context.Context, c engine.Call) (engine.Entrance, error) {
	if rand.IntN(4) == 0 {
		return engine.Entrance{}, fault.New(fault.Denied, "No.")
	}
	family, params := f.app.Channel(c.Target)
	return engine.Entrance{Family: family, Params: params, User: "null", Subject: c.Subject}, nil
}

// Whatever happens at once, when all have gone nothing is kept of them.
func TestNothingIsKeptOfThoseWhoWent(t *testing.T) {
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(`app: a
auth: {sign_in: [password]}
collections:
  boards: {fields: {name: string}}
  members: {fields: {board: boards, user: users}, unique: [[board, user]]}
channels:
  board/{board:boards}:
    join: members.exists(m, m.board == board && m.user == auth)
    send: "true"
    presence: []
  room/{room}: {join: auth != null, presence: []}
`)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	a, findings := app.Compile(s, nil, nil)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	h := New(Config{Engine: fickle{a}})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	users := []ident.Record{ident.NewRecord(), ident.NewRecord(), ""}
	board := ident.NewRecord()
	names := []string{"board/" + string(board), "room/x", "room/y", "room/../z"}
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			m := h.Connect(fmt.Sprint("c", n))
			call := engine.Call{Trusted: true, Subject: ident.Subject{Who: ident.User, ID: users[n%len(users)]}}
			for range 60 {
				name := names[rand.IntN(len(names))]
				switch rand.IntN(6) {
				case 0, 1:
					_, _ = m.Join(ctx, call, name, nil) // it may be refused
				case 2:
					_ = m.Leave(name)
				case 3:
					_ = m.State(name, []byte("1"))
				case 4:
					_ = m.Send(ctx, call, name, []byte("1"))
				default:
					m.Take()
				}
			}
			m.Close()
		})
	}
	all.Go(func() {
		for range 200 {
			h.Follow(journal.Entry{Changes: []journal.Change{{Collection: "boards", ID: board},
				{Collection: spec.Users, ID: users[rand.IntN(2)]}}})
			if rand.IntN(50) == 0 {
				h.Swapped()
			}
		}
	})
	all.Wait()
	cancel()
	running.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.rooms) + len(h.families) + len(h.named) + len(h.people) + len(h.pending); n > 0 {
		t.Errorf("kept are %d rooms, %d families, %d names, %d people, %d who wait", len(h.rooms),
			len(h.families), len(h.named), len(h.people), len(h.pending))
	}
}

// moody answers what it is told to.
type moody struct {
	app *app.App
	no  *atomic.Pointer[fault.Fault]
}

func (m moody) App() *app.App { return m.app }

func (m moody) Enter(_ context.Context, c engine.Call) (engine.Entrance, error) {
	if no := m.no.Load(); no != nil {
		return engine.Entrance{}, no
	}
	family, params := m.app.Channel(c.Target)
	return engine.Entrance{Family: family, Params: params, User: "null"}, nil
}

// While a membership cannot be judged it stands, and nothing is told to it.
func TestWhoCannotBeJudgedHearsNothingMeanwhile(t *testing.T) {
	s, _ := appfile.Parse(map[string][]byte{"galley.yaml": []byte(
		"app: a\nchannels:\n  room/{room}: {join: true}\n")})
	a, findings := app.Compile(s, nil, nil)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	synctest.Test(t, func(t *testing.T) {
		e := moody{a, &atomic.Pointer[fault.Fault]{}}
		h := New(Config{Engine: e})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go h.Run(ctx)
		var all []*Member
		for n := range 3 {
			m := h.Connect(fmt.Sprint("c", n))
			if _, err := m.Join(ctx, engine.Call{}, "room/x", nil); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		e.no.Store(fault.New(fault.Unavailable, "The database is away."))
		h.Swapped()
		h.Publish("room/x", []byte("1"))
		synctest.Wait()
		time.Sleep(10 * time.Second)
		for _, m := range all {
			if got := m.Take(); len(got) != 0 {
				t.Errorf("%s hears %v", m.who, got)
			}
		}
		e.no.Store(nil)
		time.Sleep(10 * time.Second)
		for _, m := range all {
			select {
			case <-m.Ready():
			default:
				t.Errorf("%s is not told that there is something", m.who)
			}
			if got := m.Take(); len(got) != 1 || string(got[0].Message) != "1" {
				t.Errorf("%s hears %v", m.who, got)
			}
		}
		e.no.Store(fault.New(fault.Denied, "No."))
		h.Swapped()
		h.Publish("room/x", []byte("2"))
		synctest.Wait()
		for _, m := range all {
			if got := m.Take(); len(got) != 1 || got[0].Kind != Ended || got[0].Code != "forbidden" {
				t.Errorf("%s hears %v", m.who, got)
			}
		}
	})
}
