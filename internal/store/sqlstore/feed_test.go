package sqlstore

import "testing"

// TestAHeadThatMovedFarWakesWhoFollows has the head move by more than is kept: who follows
// hears of it, and reads the entries.
func TestAHeadThatMovedFarWakesWhoFollows(t *testing.T) {
	var f feed
	f.advance(3)
	_, _, wake := f.after(3, nil)
	f.publish(nil, 9000)
	select {
	case <-wake:
	default:
		t.Fatal("nobody was woken")
	}
	if got, known, _ := f.after(3, nil); known || len(got) > 0 {
		t.Errorf("got %d entries that nobody kept", len(got))
	}
	if at := f.place(); at != 9000 {
		t.Errorf("the head is at %d", at)
	}
}
