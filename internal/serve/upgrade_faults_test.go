//go:build faults

package serve

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNoCallFailsInARollingUpgrade(t *testing.T) { onEach(t, noCallFailsInARollingUpgrade) }

func noCallFailsInARollingUpgrade(t *testing.T, join joining) {
	x := openNodes(t, join, 3, diary)
	token := x.signUp(x.proxy.URL, "ana@example.com")
	end := x.load(token, 6)
	app := diary
	for round := range 3 {
		field := fmt.Sprintf("mood%d: {type: string, default: fine}", round)
		app = later(t, app, "by: users?", "by: users?\n      "+field)
		for i := range x.all {
			x.replace(i, app)
		}
	}
	if n := end(); n < 50 {
		t.Errorf("only %d calls: there was no load", n)
	}
	if n := x.deploy(); n != 4 {
		t.Errorf("this is deploy %d, want 4", n)
	}
}

// load sends calls through the proxy until it is ended, and counts them.
func (x *nodes) load(token string, clients int) (end func() int) {
	stop, group, count := make(chan struct{}), sync.WaitGroup{}, atomic.Int64{}
	for n := range clients {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key, body := fmt.Sprintf("load-%d-%d", n, i), fmt.Sprintf(`{"text":"n%d"}`, n)
				for _, r := range [][5]string{
					{"POST", "/api/notes", token, key, body},
					{"GET", "/api/notes?limit=5", "", "", ""},
					{"POST", "/api/actions/shout", token, key, body},
				} {
					got, err := x.send(x.proxy.URL, r[0], r[1], r[2], r[3], r[4])
					if err != nil || got.status >= 300 {
						x.t.Errorf("%s %s: %v %d %s", r[0], r[1], err, got.status, got.body)
						return
					}
					count.Add(1)
				}
			}
		})
	}
	return func() int {
		close(stop)
		group.Wait()
		return int(count.Load())
	}
}
