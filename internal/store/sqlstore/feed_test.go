package sqlstore

import (
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/value"
)

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

// TestWhatTakesTooMuchIsReadFromTheDatabase publishes more than is kept: the youngest
// entries are there, those before them are not, and one that alone is too large is not.
func TestWhatTakesTooMuchIsReadFromTheDatabase(t *testing.T) {
	var f feed
	entry := func(seq uint64, bytes int) *journal.Entry {
		return &journal.Entry{Seq: seqOf(seq), Intents: []journal.Intent{
			{Payload: value.OfText(strings.Repeat("x", bytes))}}}
	}
	const some = feedBytes / 8
	for n := uint64(1); n <= 12; n++ {
		f.publish([]*journal.Entry{entry(n, some)}, n)
	}
	if f.weight > feedBytes {
		t.Errorf("%d bytes are kept", f.weight)
	}
	if _, known, _ := f.after(3, nil); known {
		t.Error("entry 4 is kept")
	}
	if got, known, _ := f.after(5, nil); !known || len(got) != 7 {
		t.Errorf("%d of the last 7 entries are kept", len(got))
	}
	f.publish([]*journal.Entry{entry(13, 10), entry(14, feedBytes+1), entry(15, 10)}, 15)
	if _, known, _ := f.after(13, nil); known {
		t.Error("an entry is kept that is too large")
	}
	if got, _, _ := f.after(14, nil); len(got) != 1 || got[0].Seq.Lo != 15 {
		t.Errorf("the last entry is not kept: %v", got)
	}
}
