package sim

import (
	"fmt"
	"slices"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// storeFilter means all entries.
var storeFilter = store.Filter{}

// judge asks for everything that must hold when all is done.
func (s *simulation) judge(c *crew) {
	h := s.handles[0]
	if err := storetest.Fold(s.ctx, h); err != nil {
		s.errorf("fold: %v", err)
	}
	entries, err := storetest.Journal(s.ctx, h)
	if err != nil {
		s.errorf("journal: %v", err)
		return
	}
	s.judgeKeys(entries)
	s.judgeHistory(entries)
	var places []journal.Seq
	for _, e := range entries {
		places = append(places, e.Seq)
	}
	for n, f := range c.all() {
		if !slices.Equal(f.disk.done, places) {
			s.errorf("follower %d did %d entries, the journal has %d: %s", n, len(f.disk.done),
				len(places), firstOther(f.disk.done, places))
		}
	}
}

// firstOther tells where two lists part.
func firstOther(a, b []journal.Seq) string {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("they part at the %dth", i)
		}
	}
	return "they are the same"
}

// judgeKeys asks that each accepted call has one entry, and each entry an accepted
// call.
func (s *simulation) judgeKeys(entries []journal.Entry) {
	seen := map[string]journal.Seq{}
	for _, e := range entries {
		key := e.Origin.Key
		if key == "" || e.Origin.Subject.Who == ident.Admin {
			continue
		}
		if first, ok := seen[key]; ok {
			s.errorf("the call %s has the entries %v and %v", key, first, e.Seq)
		}
		seen[key] = e.Seq
		at, accepted := s.told.accepted[key]
		code, refused := s.told.refused[key]
		switch {
		case accepted && (at != e.Seq || e.Refusal != nil):
			s.errorf("the call %s was told of entry %v and stands in %v", key, at, e.Seq)
		case refused && (e.Refusal == nil || e.Refusal.CodeOr() != code || len(e.Changes) > 0):
			s.errorf("the call %s was refused with %s and has entry %v", key, code, e.Seq)
		case !accepted && !refused:
			s.errorf("nobody was told of the call %s in entry %v", key, e.Seq)
		}
	}
	for key, at := range s.told.accepted {
		if _, ok := seen[key]; !ok {
			s.errorf("the call %s was accepted at %v and has no entry", key, at)
		}
	}
}

// judgeHistory goes through the journal: after each entry the money is all there, no
// wallet is overdrawn and no ward empty; and in the end there is a receipt for each
// transfer.
func (s *simulation) judgeHistory(entries []journal.Entry) {
	balances := map[ident.Record]int64{}
	wards := map[string]map[ident.Record]bool{}
	receipts := map[string]int{}
	transfers, counter, full := 0, int64(0), false
	for _, e := range entries {
		for _, c := range e.Changes {
			switch c.Collection {
			case "wallets":
				balances[c.ID] = c.After.Get("balance").Int()
				if balances[c.ID] < 0 {
					s.errorf("entry %v overdraws a wallet", e.Seq)
				}
			case "doctors":
				ward := c.After.Get("ward").Text()
				if wards[ward] == nil {
					wards[ward] = map[ident.Record]bool{}
				}
				wards[ward][c.ID] = c.After.Get("on_call").Bool()
			case "counters":
				counter = c.After.Get("n").Int()
			case "transfers":
				transfers++
				receipts[string(c.ID)] += 0
			case "receipts":
				receipts[c.After.Get("transfer").Text()]++
			}
		}
		var sum int64
		for _, b := range balances {
			sum += b
		}
		full = full || sum == simPeople*money
		if full && sum != simPeople*money {
			s.errorf("after entry %v there are %d, want %d", e.Seq, sum, simPeople*money)
		}
		for ward, doctors := range wards {
			here := 0
			for _, on := range doctors {
				if on {
					here++
				}
			}
			if here == 0 {
				s.errorf("after entry %v nobody is left in %s", e.Seq, ward)
			}
		}
	}
	if counter != int64(s.told.counts) {
		s.errorf("the counter is %d, accepted were %d", counter, s.told.counts)
	}
	for id, n := range receipts {
		if n != 1 {
			s.errorf("transfer %s has %d receipts", id, n)
		}
	}
}
