package sqlstore

import (
	"sync"

	"github.com/galleybackend/galley/internal/journal"
)

// feed tells those who follow the journal that there is more, and keeps the last
// entries for them, so that who is close behind reads no database.
type feed struct {
	mu   sync.Mutex
	head uint64
	wake chan struct{}
	last [feedMax]*journal.Entry
}

const (
	// feedMax is how many entries are kept. An entry stands at its place modulo
	// feedMax.
	feedMax = 256
	// feedBytes is the greatest size of an entry that is kept, in bytes of its row.
	feedBytes = 64 << 10
)

// place is the head.
func (f *feed) place() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head
}

// advance sets the head without entries.
func (f *feed) advance(head uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.head = head
}

// publish adds the committed entries up to the head, which nobody changes any more.
// Those that are nil must be read.
func (f *feed) publish(entries []*journal.Entry, head uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, e := range entries {
		f.last[(head-uint64(len(entries)-1-i))%feedMax] = e
	}
	f.head = head
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// after appends the entries after a place that are kept. known is false if the next
// one is not. wake is closed when there is more, and nil if there is more already.
func (f *feed) after(seq uint64, to []*journal.Entry) (
	got []*journal.Entry, known bool, wake <-chan struct{},
) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq >= f.head {
		if f.wake == nil {
			f.wake = make(chan struct{})
		}
		return to, true, f.wake
	}
	for n := seq + 1; n <= f.head; n++ {
		e := f.last[n%feedMax]
		if e == nil || e.Seq.Lo != n {
			break
		}
		to = append(to, e)
	}
	return to, len(to) > 0, nil
}
