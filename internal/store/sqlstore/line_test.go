package sqlstore

import (
	"context"
	"testing"
)

// TestSmallGroupWaits has a group of one in a crowd of four wait for its next call, and
// commit with it.
func TestSmallGroupWaits(t *testing.T) {
	l := &line{crowd: 4}
	if g, err := l.enter(t.Context()); g != nil || err != nil {
		t.Fatalf("entered an open group %v, %v", g, err)
	}
	first := &group{calls: 1}
	took := make(chan *group)
	go func() {
		for {
			l.mu.Lock()
			parked := l.parked != nil
			l.mu.Unlock()
			if parked {
				break
			}
		}
		g, _ := l.enter(context.Background())
		took <- g
	}()
	// The wait is bounded, so that on a busy machine it may end before the other comes.
	for !l.hand(first) {
		l.crowd = 4
	}
	if g := <-took; g != first {
		t.Fatalf("the next call got the group %v", g)
	}
	if first.calls++; l.hand(first) {
		t.Fatal("a group of half the crowd waits for more")
	}
}

// TestNobodyComes has a group wait for a crowd that is gone, which it then forgets.
func TestNobodyComes(t *testing.T) {
	l := &line{held: true, crowd: 16}
	g := &group{calls: 1}
	waits := 0
	for ; 2*g.calls < l.crowd; waits++ {
		if l.hand(g) {
			t.Fatal("somebody took the group")
		}
	}
	if waits != 3 {
		t.Errorf("waited %d times until a crowd of 16 was forgotten", waits)
	}
	if l.parked != nil {
		t.Error("the group is left parked")
	}
}

// TestHalfCommits has half of the crowd commit while the other half waits, but not where
// functions run in the line: all of them go together then.
func TestHalfCommits(t *testing.T) {
	for _, c := range []struct{ calls, ran, queued, crowd int }{
		{8, 0, 8, 16}, {8, 8, 8, 16}, {7, 0, 8, 16}, {1, 0, 1, 2}, {1, 1, 0, 2},
	} {
		l := &line{held: true, crowd: c.crowd}
		for range c.queued {
			l.queue = append(l.queue, &ticket{turn: make(chan *group, 1)})
		}
		want := c.queued > 0 && (2*c.calls < c.crowd || 2*c.ran >= c.calls)
		if got := l.hand(&group{calls: c.calls, ran: c.ran}); got != want {
			t.Errorf("%d calls, %d ran, %d wait, crowd of %d: handed on is %v",
				c.calls, c.ran, c.queued, c.crowd, got)
		}
	}
}

// TestCrowdIsLearnt counts who waits while a group commits.
func TestCrowdIsLearnt(t *testing.T) {
	l := &line{held: true}
	for range 7 {
		l.queue = append(l.queue, &ticket{turn: make(chan *group, 1)})
	}
	l.learn(&group{calls: 1})
	if l.crowd != 8 {
		t.Errorf("a group of one and seven who wait are a crowd of %d", l.crowd)
	}
	l.queue = nil
	for range 40 {
		l.learn(&group{calls: 1})
	}
	if l.crowd > 8 {
		t.Errorf("the crowd grows to %d without anybody", l.crowd)
	}
}
