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
	// weights are about how many bytes the entries take, and weight is their sum.
	weights [feedMax]int
	weight  int
}

const (
	// feedMax is how many entries are kept. An entry stands at its place modulo
	// feedMax.
	feedMax = 256
	// feedBytes is about how many bytes they take together, at most.
	feedBytes = 32 << 20
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
// Where they take too much, those of before are read by who follows from further back.
func (f *feed) publish(entries []*journal.Entry, head uint64) {
	entries = entries[max(0, len(entries)-feedMax):]
	weights := make([]int, len(entries))
	for i, e := range entries {
		weights[i] = entryWeight(e)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, e := range entries {
		f.put(head-uint64(len(entries)-1-i), e, weights[i])
	}
	for n := head + 1; f.weight > feedBytes; n++ { // the oldest stands behind the youngest
		f.put(n, nil, 0)
	}
	f.head = head
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// put sets what is kept at a place.
func (f *feed) put(seq uint64, e *journal.Entry, weight int) {
	at := seq % feedMax
	f.weight += weight - f.weights[at]
	f.last[at], f.weights[at] = e, weight
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
