package channel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/galleybackend/galley/internal/app"
)

// seatsOf is a room whose members see who is there, and one of them.
func seatsOf(h *Hub, who string) (*room, *membership) {
	m := &membership{member: h.Connect(who)}
	h.enter("x", &family{Channel: &app.Channel{Shown: []int{}}}, m)
	h.settled(m)
	r := m.room
	m.active = true
	m.seen = r.version
	return r, m
}

// hear takes what a member hears into what he knows.
func hear(t *testing.T, m *Member, known map[string]string) (ended bool) {
	t.Helper()
	for {
		events := m.Take()
		if len(events) == 0 {
			return ended
		}
		for _, e := range events {
			_, there := known[e.Present.Who]
			switch e.Kind {
			case Joined:
				known[e.Present.Who] = string(e.Present.State)
			case Left:
				delete(known, e.Present.Who)
			case State:
				if !there {
					t.Fatalf("a state of %s, who never came", e.Present.Who)
				}
				known[e.Present.Who] = string(e.Present.State)
			case Ended:
				ended = true
			}
		}
	}
}

// However often a member listens, when he has listened he knows who is there and what
// each shows, and no more.
func TestWhoListensNowAndThenKnowsWhoIsThere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	r, m := seatsOf(New(Config{}), "me")
	there, known := map[string]string{}, map[string]string{}
	for n := range 50_000 {
		who := fmt.Sprint("w", chance.IntN(40))
		r.mu.Lock()
		switch _, in := there[who]; {
		case !in:
			there[who] = ""
			r.joined(Present{Who: who, User: []byte("null")}, "node")
		case chance.IntN(3) == 0:
			delete(there, who)
			r.left(who, "node")
		default:
			there[who] = fmt.Sprint(n)
			r.changed(who, "node", []byte(there[who]))
		}
		seats, bytes := len(r.seats), r.bytes
		r.mu.Unlock()
		want := 0
		for _, state := range there {
			want += len("null") + len(state)
		}
		if bytes != want || seats > 40 {
			t.Fatalf("%d bytes in %d seats, want %d bytes", bytes, seats, want)
		}
		if chance.IntN(30) == 0 {
			hear(t, m.member, known)
			if !maps.Equal(known, there) {
				t.Fatalf("step %d: knows %v, there are %v", n, known, there)
			}
		}
	}
}

// Who came and went while nobody listened costs the listener nothing.
func TestAStormCostsWhoListensNothing(t *testing.T) {
	r, m := seatsOf(New(Config{}), "me")
	for n := range goneMax {
		who := fmt.Sprint("w", n)
		r.mu.Lock()
		r.joined(Present{Who: who}, "node")
		r.left(who, "node")
		r.mu.Unlock()
	}
	if n := len(m.member.queue); n > 1 {
		t.Errorf("%d things wait for a member who is slow", n)
	}
	if got := m.member.Take(); len(got) != 0 {
		t.Errorf("he hears %d events of those whom he never knew", len(got))
	}
}

// Who was away for longer than anybody remembers must join again, rather than believe
// that somebody is there who left.
func TestWhoMissedTooMuchMustJoinAgain(t *testing.T) {
	r, m := seatsOf(New(Config{}), "me")
	m.member.in["x"] = m
	known := map[string]string{}
	come := func(from, to int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for n := from; n < to; n++ {
			r.joined(Present{Who: fmt.Sprint("w", n)}, "node")
		}
	}
	come(0, 100)
	if hear(t, m.member, known); len(known) != 100 {
		t.Fatalf("knows %d", len(known))
	}
	come(100, goneMax+200)
	r.mu.Lock()
	for n := range goneMax + 200 {
		r.left(fmt.Sprint("w", n), "node")
	}
	if len(r.seats) > goneMax+1 {
		t.Errorf("%d seats are kept", len(r.seats))
	}
	r.mu.Unlock()
	if !hear(t, m.member, known) {
		t.Error("he does not hear that he must join again")
	}
	if !m.over.Load() || len(m.member.in) != 0 {
		t.Error("he is a member still")
	}
}

func BenchmarkStateToMany(b *testing.B) {
	h := New(Config{})
	var all []*membership
	var r *room
	for n := range 1000 {
		var m *membership
		r, m = seatsOf(h, fmt.Sprint("m", n))
		r.mu.Lock()
		r.joined(Present{Who: m.member.who, User: []byte("null")}, "")
		r.mu.Unlock()
		all = append(all, m)
	}
	state := []byte(`{"cursor":[3,4]}`)
	out := make([]byte, 0, 1024)
	for _, m := range all {
		m.member.Take()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		r.mu.Lock()
		r.changed(all[n%1000].member.who, "", state)
		r.wake()
		r.mu.Unlock()
		for _, m := range all {
			for _, e := range m.member.Take() {
				out = e.AppendJSON(out[:0])
			}
		}
	}
	_ = out
}
