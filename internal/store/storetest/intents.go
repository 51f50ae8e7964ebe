package storetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
)

// intentsSeeAll follows the intents from the first entry on and from the last, while many
// write, of whom few leave an intent.
func intentsSeeAll(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	const before, each = 400, 9 // more than a store keeps in memory
	write := func(key string, intends bool) journal.Entry {
		e, err := b.write(journal.Origin{Key: key}, func(tx store.Tx) error {
			if !intends {
				return nil
			}
			return tx.Intend(b.ctx, journal.Intent{Kind: "email", Name: key})
		})
		b.ok(err)
		return e
	}
	for n := range before {
		write(fmt.Sprint("a", n), n%each == 0)
	}
	half := b.entries()[len(b.entries())-1].Seq
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var followers, calls sync.WaitGroup
	seen := make([]map[string]journal.Seq, 2)
	var end journal.Seq
	told := make(chan struct{})
	for i, from := range []journal.Seq{{}, half} {
		seen[i] = map[string]journal.Seq{}
		followers.Go(func() {
			at := from
			for e, err := range b.Intents(ctx, from) {
				b.ok(err)
				if e.Seq.Compare(at) <= 0 {
					b.Errorf("place %v comes after %v", e.Seq, at)
				}
				at = e.Seq
				if len(e.Intents) == 0 && (e.Origin.Key != "" || len(e.Changes) > 0) {
					b.Errorf("an entry without intents is more than its place: %v", e)
				}
				for _, n := range e.Intents {
					if n.Kind == "email" {
						seen[i][n.Name] = e.Seq
					}
				}
				select {
				case <-told:
					if at.Compare(end) >= 0 {
						return
					}
				default:
				}
			}
		})
	}
	for n := range before {
		calls.Go(func() { write(fmt.Sprint("b", n), n%each == 0) })
	}
	calls.Wait()
	end = write("end", true).Seq
	close(told)
	write("behind", true) // so that there is one to wake them
	followers.Wait()
	want := map[string]journal.Seq{}
	for _, e := range b.entries() {
		for _, n := range e.Intents {
			if n.Kind == "email" && n.Name != "behind" {
				want[n.Name] = e.Seq
			}
		}
	}
	for i, found := range seen {
		delete(found, "behind")
		for name, at := range want {
			if late := at.Compare(half) > 0; (i == 0 || late) && found[name] != at {
				b.Errorf("follower %d saw %s at %v, and it is at %v", i, name, found[name], at)
			} else if i == 1 && !late && found[name] != (journal.Seq{}) {
				b.Errorf("follower %d saw %s, which lies before its place", i, name)
			}
		}
		for name := range found {
			if want[name] == (journal.Seq{}) {
				b.Errorf("follower %d saw %s, which is not there", i, name)
			}
		}
	}
}
