package channel_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/engine"
)

// watcher is a member who notes who is there, and what each shows.
type watcher struct {
	*channel.Member
	known map[string]string
}

// note takes in what he hears.
func (w *watcher) note(t *testing.T) {
	for _, e := range w.Take() {
		switch e.Kind {
		case channel.Joined, channel.State:
			w.known[e.Present.Who] = string(e.Present.State)
		case channel.Left:
			delete(w.known, e.Present.Who)
		case channel.Ended:
			t.Error("a membership ended")
		}
	}
}

// Whatever is lost between processes, and whichever of them is cut off for a while: when
// words arrive again, everybody knows who is there.
func TestProcessesComeToAgree(t *testing.T) { synctest.Test(t, processesComeToAgree) }

func processesComeToAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 2))
	const nodes, most, beat = 3, 30, 20 * time.Millisecond
	line := &wire{ears: map[*ear]bool{}}
	a := compile(t, kanban)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var hubs [nodes]*channel.Hub
	var ends [nodes]*end
	var watchers [nodes]*watcher
	there := map[string]string{} // all who are in the channel, with what they show
	for i := range hubs {
		ends[i] = &end{wire: line}
		hubs[i] = channel.New(channel.Config{Engine: everybody{a}, Bus: ends[i], Beat: beat})
		running.Go(func() { hubs[i].Run(ctx) })
		who := fmt.Sprint("watcher", i)
		watchers[i] = &watcher{hubs[i].Connect(who), map[string]string{}}
		if _, err := watchers[i].Join(ctx, engine.Call{}, "room/x", nil); err != nil {
			t.Fatal(err)
		}
		there[who] = ""
	}
	var lossy sync.Mutex
	lose := rand.New(rand.NewPCG(seed, 3))
	line.mu.Lock()
	line.lose = func(string) bool {
		lossy.Lock()
		defer lossy.Unlock()
		return lose.IntN(4) == 0
	}
	line.mu.Unlock()
	guests := map[string]*channel.Member{}
	var names []string
	for n := range 600 {
		who := fmt.Sprint("g", chance.IntN(most), "-", n)
		switch {
		case len(names) < most && chance.IntN(2) == 0:
			m := hubs[chance.IntN(nodes)].Connect(who)
			if _, err := m.Join(ctx, engine.Call{}, "room/x", nil); err != nil {
				t.Fatal(err)
			}
			guests[who], there[who] = m, ""
			names = append(names, who)
		case len(names) > 0 && chance.IntN(3) == 0:
			i := chance.IntN(len(names))
			guests[names[i]].Close()
			delete(there, names[i])
			names = append(names[:i], names[i+1:]...)
		case len(names) > 0:
			who := names[chance.IntN(len(names))]
			if guests[who].State("room/x", fmt.Append(nil, n)) == nil {
				there[who] = fmt.Sprint(n)
			}
		}
		if chance.IntN(40) == 0 {
			e := ends[chance.IntN(nodes)]
			line.mu.Lock()
			e.cut = !e.cut
			line.mu.Unlock()
		}
		for _, w := range watchers {
			w.note(t)
		}
		if n%10 == 0 {
			wait := time.NewTimer(5 * time.Millisecond)
			<-wait.C
		}
	}
	line.mu.Lock()
	line.lose = nil
	for _, e := range ends {
		e.cut = false
	}
	line.mu.Unlock()
	late := time.After(time.Minute)
	for i, w := range watchers {
		want := maps.Clone(there)
		delete(want, fmt.Sprint("watcher", i))
		for w.note(t); !maps.Equal(w.known, want); w.note(t) {
			select {
			case <-w.Ready():
			case <-late:
				t.Fatalf("at process %d known are\n%v\nbut there are\n%v", i, w.known, want)
			}
		}
	}
}
