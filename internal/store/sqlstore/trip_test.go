package sqlstore

import "testing"

// Questions wait for the trip that is under way and go together, until so many wait that
// another lane is worth it; a lane that few wait for is given up, but for the last.
func TestTripsAreSharedBeforeLanesAreAdded(t *testing.T) {
	var trips trips
	lead := func(want bool) *question {
		t.Helper()
		q := &question{parts: make([]part, 1)}
		if got := trips.enter(q); got != want {
			t.Fatalf("with %d lanes and %d that wait: leads %v, want %v", trips.busy,
				len(trips.queue), got, want)
		}
		return q
	}
	lead(true)
	for range tripCrowd {
		lead(false)
	}
	lead(true)
	if got := len(trips.company()); got != tripCrowd {
		t.Errorf("%d go along, want %d", got, tripCrowd)
	}
	last := lead(false)
	trips.leave()
	if trips.busy != 1 || len(trips.queue) != 1 {
		t.Errorf("%d lanes for %d that wait, want one for one", trips.busy, len(trips.queue))
	}
	trips.leave()
	select {
	case leads := <-last.turn:
		if !leads {
			t.Error("who waits for the last lane was told that he has his answer")
		}
	default:
		t.Error("nobody leads the next trip")
	}
	trips.leave()
	if trips.busy != 0 {
		t.Errorf("%d lanes for nobody", trips.busy)
	}
}
