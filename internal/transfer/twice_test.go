package transfer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/transfer"
	"github.com/galleybackend/galley/internal/value"
)

// TestTwoMovesAtOnce begins the same move a second time while the first is at each of its
// phases: one of them ends well, or the next does, and nothing is lost.
func TestTwoMovesAtOnce(t *testing.T) { across(t, twoMovesAtOnce) }

func twoMovesAtOnce(t *testing.T, a, b kind) {
	for _, phase := range []string{"copy", "follow", "compare", "pause"} {
		t.Run(phase, func(t *testing.T) {
			from, to := filled(t, a, 100), b(t)
			load := from.load(2, 2*time.Millisecond)
			second, begun := make(chan error, 1), false
			_, err := transfer.Move{From: from, To: to, Name: "there",
				Report: func(p transfer.Progress) {
					if p.Phase != phase || begun {
						return
					}
					begun = true
					reached := make(chan struct{}, 1000)
					go func() {
						_, err := transfer.Move{From: from, To: to, Name: "there",
							Report: func(transfer.Progress) {
								select {
								case reached <- struct{}{}:
								default:
								}
							}}.Run(t.Context())
						reached <- struct{}{}
						second <- err
					}()
					select { // the second goes as far as it can, or a part of the way
					case <-reached:
					case <-time.After(200 * time.Millisecond):
					}
				}}.Run(t.Context())
			if !begun {
				t.Fatalf("there is no phase %s: %v", phase, err)
			}
			other := <-second
			t.Logf("the first: %v; the second: %v", err, other)
			load.end()
			for range 2 {
				if to.Usable(t.Context()) == nil && code(from.Usable(t.Context())) != "" {
					break
				}
				to.again()
				if _, err := (transfer.Move{From: from, To: to, Name: "there"}).Run(t.Context()); err != nil {
					t.Errorf("it does not go on: %v", err)
				}
			}
			to.again()
			same(t, from, to, load.acks)
		})
	}
}

// stops is a source that calls a function before it is read the n-th time, or, if n is 0,
// when nothing is left but to leave it.
type stops struct {
	*place
	n    int
	then func()
}

func (s *stops) Leave(
	ctx context.Context, to string, fn func(*sqlstore.Snapshot) error,
) error {
	return s.place.Leave(ctx, to, func(p *sqlstore.Snapshot) error {
		err := fn(p)
		if s.n == 0 {
			s.then()
		}
		return err
	})
}

func (s *stops) Snapshot(ctx context.Context, fn func(*sqlstore.Snapshot) error) error {
	if s.n > 0 {
		if s.n--; s.n == 0 {
			s.n = -1
			s.then()
		}
	}
	return s.place.Snapshot(ctx, fn)
}

// TestAMoveThatWasOvertakenTouchesNothing holds a move between its phases until another one
// has come to its end and its target is served: what was written there stays.
func TestAMoveThatWasOvertakenTouchesNothing(t *testing.T) {
	const copying, following, leaving = 2, 3, 4
	for _, at := range []int{copying, following, leaving} {
		from, to := filled(t, server, 50), server(t)
		beside := newPlace(t, from.address)
		var served *place
		before := ""
		overtake := func() {
			other := newPlace(t, to.address)
			if _, err := (transfer.Move{From: beside, To: other, Name: "there"}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			served = newPlace(t, to.address)
			// A password is changed, of which the journal says nothing.
			_, err := served.Write(t.Context(), journal.Origin{Operation: "late"},
				func(tx store.Tx) error {
					shape := served.Schema().Table("_logins").Shape
					found, err := tx.Find(t.Context(),
						query.Query{Plan: &query.Plan{From: "_logins", Limit: 1}})
					if err != nil {
						return err
					}
					r := value.NewRecord(shape)
					copy(r.Slots, found[0].Slots)
					r.Set("hash", value.OfText("new"))
					_, err = tx.Put(t.Context(), "_logins", r)
					return err
				})
			if err != nil {
				t.Fatal(err)
			}
			before = served.state()
		}
		_, err := transfer.Move{From: &stops{from, at, overtake}, To: to, Name: "there"}.Run(t.Context())
		if served == nil {
			t.Fatalf("the source is not read %d times: %v", at, err)
		}
		if err == nil {
			t.Errorf("%d: it says that it moved", at)
		}
		if served.state() != before {
			t.Errorf("%d: what is served was written to: %v", at, err)
		}
		if err := served.Usable(t.Context()); err != nil {
			t.Errorf("%d: %v", at, err)
		}
	}
}

// TestAMoveThatLeftGoesOn kills two moves at the moment of leaving: the one that left, and
// one that has just taken the target over from it.
func TestAMoveThatLeftGoesOn(t *testing.T) {
	from, to := filled(t, server, 50), server(t)
	beside, other := newPlace(t, from.address), newPlace(t, to.address)
	killed := func(sqlstore.Point) error { return errors.New("killed") }
	_, err := transfer.Move{From: &stops{place: from, then: func() {
		ctx, kill := context.WithCancel(t.Context())
		_, err := transfer.Move{From: &stops{beside, 2, kill}, To: other, Name: "there"}.Run(ctx)
		if err == nil {
			t.Error("the second was not killed")
		}
		to.fault.Store(&killed)
	}}, To: to, Name: "there"}.Run(t.Context())
	if err == nil || from.Usable(t.Context()) == nil {
		t.Fatalf("the first: %v, and the source is not left", err)
	}
	to.again()
	if err := to.Usable(t.Context()); code(err) != sqlstore.CodeFilling {
		t.Errorf("before the end: %v", err)
	}
	if _, err := (transfer.Move{From: from, To: to, Name: "there"}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	to.again()
	same(t, from, to, nil)
}

// TestMoveBesideDeploys has another process change the schema between the phases of a move,
// which only holds back changes of its own process.
func TestMoveBesideDeploys(t *testing.T) {
	const copying, following, leaving = 2, 3, 4
	for _, at := range []int{copying, following, leaving} {
		from, to := filled(t, server, 50), server(t)
		beside := newPlace(t, from.address)
		deploy := func() {
			next := schema(value.Field{Name: "note", Type: value.Type{Kind: value.TypeText, Optional: true}})
			next.Collections = append(next.Collections, storetest.Table("extras",
				value.Field{Name: "of", Type: relation("things")}))
			_, err := beside.Apply(t.Context(), journal.Origin{Operation: "apply"},
				spec.Diff(beside.Schema(), next), nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := transfer.Move{From: &stops{from, at, deploy}, To: to, Name: "there"}.Run(t.Context())
		if err != nil {
			t.Errorf("%d: %v", at, err)
		}
		to.again()
		same(t, from, to, nil)
	}
}
