package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/transfer"
	"github.com/galleybackend/galley/internal/value"
)

// TestMain lets the tests share a server.
func TestMain(m *testing.M) { pgtest.Main(m) }

// place is a database that can be closed and opened again.
type place struct {
	t *testing.T
	// address is a path, or a URL.
	address string
	*sqlstore.Store
	end func() error
	// fault is asked at each commit; it may be nil.
	fault atomic.Pointer[func(sqlstore.Point) error]
}

// kind makes an empty database.
type kind func(t *testing.T) *place

func file(t *testing.T) *place {
	return newPlace(t, filepath.Join(t.TempDir(), "galley.db"))
}

func server(t *testing.T) *place { return newPlace(t, pgtest.Shared(t).Database(t)) }

// across runs a test with the moves from one kind of database to another.
func across(t *testing.T, run func(t *testing.T, from, to kind)) {
	t.Run("to a server", func(t *testing.T) { run(t, file, server) })
	t.Run("from a server", func(t *testing.T) { run(t, server, file) })
}

// ways runs a test with every move.
func ways(t *testing.T, run func(t *testing.T, from, to kind)) {
	across(t, run)
	t.Run("of a file", func(t *testing.T) { run(t, file, file) })
	t.Run("between servers", func(t *testing.T) { run(t, server, server) })
}

func newPlace(t *testing.T, address string) *place {
	p := &place{t: t, address: address}
	p.open()
	t.Cleanup(func() { _ = p.end() }) // one that failed cannot be closed well
	return p
}

func (p *place) open() {
	p.t.Helper()
	fault := func(at sqlstore.Point) error {
		if fn := p.fault.Load(); fn != nil {
			return (*fn)(at)
		}
		return nil
	}
	if strings.HasPrefix(p.address, "postgres://") {
		s, err := postgres.Open(context.Background(), postgres.Config{URL: p.address, Fault: fault})
		if err != nil {
			p.t.Fatal(err)
		}
		p.Store, p.end = s.Store, s.Close
		return
	}
	s, err := sqlite.Open(context.Background(), sqlite.Config{Path: p.address, Unsafe: true,
		Fault: fault})
	if err != nil {
		p.t.Fatal(err)
	}
	p.Store, p.end = s.Store, s.Close
}

// again closes the database, however it is, and opens it.
func (p *place) again() {
	p.t.Helper()
	_ = p.end() // as above
	p.fault.Store(nil)
	p.open()
}

// state writes everything that a database keeps: entries, records, sessions.
func (p *place) state() string {
	p.t.Helper()
	var b strings.Builder
	err := p.Snapshot(context.Background(), func(s *sqlstore.Snapshot) error {
		fmt.Fprintln(&b, s.Marks[sqlstore.MarkEpoch], s.Seq, s.Spec)
		row := func(row []value.Value) error {
			for _, v := range row {
				b.WriteString(string(value.AppendJSON(nil, v)) + "|")
			}
			b.WriteString("\n")
			return nil
		}
		if err := s.Entries(context.Background(), journal.Seq{}, row); err != nil {
			return err
		}
		for _, t := range s.Schema().Collections {
			fmt.Fprintln(&b, t.Name)
			err := s.Records(context.Background(), t.Name, "", func(r value.Record) error {
				return row(r.Slots)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return b.String()
}

// begun reports whether there are entries.
func (p *place) begun() bool {
	p.t.Helper()
	found, err := p.Entries(context.Background(), store.Filter{}, journal.Seq{}, 1)
	if err != nil {
		p.t.Fatal(err)
	}
	return len(found) > 0
}

// code is the code of a fault, "" of none.
func code(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).CodeOr()
}

func relation(to string) value.Type { return value.Type{Kind: value.TypeRelation, Of: to} }

func schema(more ...value.Field) *spec.Schema {
	word := value.Type{Kind: value.TypeString}
	users := storetest.Table("users", append([]value.Field{{Name: "name", Type: word}}, more...)...)
	things := storetest.Table("things", value.Field{Name: "code", Type: word},
		value.Field{Name: "stock", Type: value.Type{Kind: value.TypeInt}},
		value.Field{Name: "owner", Type: relation("users")})
	things.Unique = [][]string{{"code"}}
	things.OnDelete = map[string]string{"owner": spec.OnDeleteCascade}
	logins := storetest.Table("_logins", value.Field{Name: "user", Type: relation("users")},
		value.Field{Name: "hash", Type: word})
	logins.Quiet, logins.OnDelete = true, map[string]string{"user": spec.OnDeleteCascade}
	logins.Unique = [][]string{{"user"}}
	return &spec.Schema{Collections: []*spec.Table{logins, things, users}}
}

func subject(n int) ident.Subject {
	return ident.Subject{Who: ident.Admin, Name: fmt.Sprint("writer", n)}
}

// writers write to a place until it was left. acknowledged are the keys of their
// calls, each with its reply.
type writers struct {
	place *place
	work  sync.WaitGroup
	stop  atomic.Bool
	calls atomic.Int64
	mu    sync.Mutex
	acks  map[string]string
	bad   []error
	pace  time.Duration
}

func (p *place) load(n int, pace time.Duration) *writers {
	w := &writers{place: p, acks: map[string]string{}, pace: pace}
	for i := range n {
		w.work.Go(func() { w.write(i, p.Store) })
	}
	return w
}

func (w *writers) write(n int, s *sqlstore.Store) {
	chance := rand.New(rand.NewPCG(uint64(n), uint64(time.Now().UnixNano())))
	var users []ident.Record
	// As fast as one machine writes, another database on it may not be able to follow.
	pace := time.NewTicker(w.pace)
	defer pace.Stop()
	for call := 0; !w.stop.Load(); call++ {
		<-pace.C
		key := fmt.Sprint(n, "-", call)
		e, err := s.Write(context.Background(), journal.Origin{Subject: subject(n),
			Operation: "test", Key: key, Call: ident.NewCall()}, func(tx store.Tx) error {
			id, err := one(tx, s.Schema(), chance, users, fmt.Sprint("c", n, "-", call))
			tx.Reply(value.OfText(fmt.Sprint(key, id)))
			if err == nil && id != "" {
				users = append(users, id)
			}
			return err
		})
		switch {
		case err == nil || fault.From(err).Kind.Kept():
			w.mu.Lock()
			w.acks[key] = string(value.AppendJSON(nil, e.Reply))
			w.mu.Unlock()
			w.calls.Add(1)
		case errors.Is(err, sqlstore.ErrMoved), s.Failure() != nil, w.place.fault.Load() != nil:
			return
		default:
			w.mu.Lock()
			w.bad = append(w.bad, err)
			w.mu.Unlock()
			return
		}
	}
}

// one does a call: a new user with a login and a thing, or something to an old one.
func one(tx store.Tx, s *spec.Schema, chance *rand.Rand, users []ident.Record, code string) (
	ident.Record, error) {
	ctx := context.Background()
	record := func(name string, values ...value.Value) value.Record {
		r := value.NewRecord(s.Table(name).Shape)
		copy(r.Slots[spec.SlotFirst:], values)
		return r
	}
	if len(users) < 3 || chance.IntN(4) == 0 {
		u, err := tx.Put(ctx, "users", record("users", value.OfText(code)))
		if err != nil {
			return "", err
		}
		id := u.Slots[spec.SlotID]
		if _, err := tx.Put(ctx, "_logins", record("_logins", id, value.OfText(code))); err != nil {
			return "", err
		}
		_, err = tx.Put(ctx, "things", record("things", value.OfText(code), value.OfInt(1), id))
		return ident.Record(id.Text()), err
	}
	user := users[chance.IntN(len(users))]
	switch chance.IntN(5) {
	case 0:
		err := tx.Delete(ctx, "users", user)
		return "", err
	case 1:
		_, err := tx.Put(ctx, "things", record("things", value.OfText(code), value.OfInt(2),
			value.OfText(string(user))))
		if fault.Is(err, fault.Invalid) {
			err = fault.New(fault.NotFound, "the owner is gone")
		}
		return "", err
	default:
		r := record("users", value.OfText(code))
		r.Slots[spec.SlotID], r.Slots[spec.SlotVersion] = value.OfText(string(user)), value.OfNull()
		_, err := tx.Put(ctx, "users", r)
		return "", err
	}
}

// end waits for the writers.
func (w *writers) end() {
	w.place.t.Helper()
	w.stop.Store(true)
	w.work.Wait()
	for _, err := range w.bad {
		w.place.t.Error(err)
	}
}

// filled is a place with some users.
func filled(t *testing.T, in kind, calls int) *place {
	t.Helper()
	p := in(t)
	if _, err := p.Apply(t.Context(), journal.Origin{Operation: "apply"}, storetest.Steps(schema()), nil); err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(1, uint64(calls)))
	const each = 25
	for n := 0; n < calls; n += each {
		_, err := p.Write(t.Context(), journal.Origin{Operation: "fill", Key: fmt.Sprint(n)},
			func(tx store.Tx) error {
				for i := range each {
					if _, err := one(tx, p.Schema(), chance, nil, fmt.Sprint("f", n+i)); err != nil {
						return err
					}
				}
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// keysLooked is how many keys are tried again.
const keysLooked = 100

// same asks that everything has gone over: what was in the one is in the other, the
// one is not served any more, the other is, and every key is known there.
func same(t *testing.T, from, to *place, acks map[string]string) {
	t.Helper()
	if got, want := to.state(), from.state(); got != want {
		t.Errorf("the copy is another: %d bytes, want %d", len(got), len(want))
	}
	if err := from.Usable(t.Context()); code(err) != sqlstore.CodeMoved {
		t.Errorf("the database that was left: %v", err)
	}
	if err := to.Usable(t.Context()); err != nil {
		t.Errorf("the database that was filled: %v", err)
	}
	if err := storetest.Fold(t.Context(), to); err != nil {
		t.Error(err)
	}
	looked := 0
	for key, reply := range acks {
		if looked++; looked > keysLooked {
			break // any of them, by chance
		}
		var n int
		if _, err := fmt.Sscanf(key, "%d-", &n); err != nil {
			t.Fatal(err)
		}
		e, err := to.Write(t.Context(), journal.Origin{Subject: subject(n), Operation: "test",
			Key: key}, func(store.Tx) error { return errors.New("it is done again") })
		if got := string(value.AppendJSON(nil, e.Reply)); err != nil &&
			!fault.From(err).Kind.Kept() || !e.Replayed || got != reply {
			t.Fatalf("the key %s: %s %v, want %s replayed", key, got, err, reply)
		}
	}
}

func TestMoveWhileWrittenTo(t *testing.T) { ways(t, moveWhileWrittenTo) }

func moveWhileWrittenTo(t *testing.T, a, b kind) {
	from, to := filled(t, a, 1500), b(t)
	load := from.load(4, 2*time.Millisecond)
	var phases []string
	moved, err := transfer.Move{From: from, To: to, Name: "there",
		Report: func(p transfer.Progress) {
			if !slices.Contains(phases, p.Phase) {
				phases = append(phases, p.Phase)
			}
		}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	load.end()
	if moved.Pause > 5*time.Second || moved.Sums["users"] == "" {
		t.Errorf("%+v", moved)
	}
	t.Logf("%v, %v, %d calls meanwhile", phases, moved.Pause, load.calls.Load())
	to.again()
	same(t, from, to, load.acks)
	_, err = from.Write(t.Context(), journal.Origin{Operation: "late"}, func(tx store.Tx) error {
		_, err := one(tx, from.Schema(), rand.New(rand.NewPCG(1, 1)), nil, "late")
		return err
	})
	if !errors.Is(err, sqlstore.ErrMoved) {
		t.Errorf("a late write: %v", err)
	}
}

// TestMoveBackAndForth moves to a second database and home again, each time with new
// writes.
func TestMoveBackAndForth(t *testing.T) { moveBackAndForth(t, file, server) }

func moveBackAndForth(t *testing.T, a, b kind) {
	from, to := filled(t, a, 200), b(t)
	for round := range 4 {
		load := from.load(2, 2*time.Millisecond)
		if _, err := (transfer.Move{From: from, To: to, Name: fmt.Sprint(round)}).
			Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		load.end()
		to.again()
		from.again()
		same(t, from, to, nil)
		from, to = to, from
	}
}

// rounds is how often a move is broken off to its end.
const rounds = 1

// TestMoveGoesOnAfterEveryEnd breaks a move off at random places of its way: before a
// commit, after one that nobody heard of, or between; in the target, and in the end
// in the source.
func TestMoveGoesOnAfterEveryEnd(t *testing.T) { across(t, moveGoesOnAfterEveryEnd) }

func moveGoesOnAfterEveryEnd(t *testing.T, a, b kind) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for range rounds {
		from, to := filled(t, a, 1200), b(t)
		acks := map[string]string{}
		ends := 0
		for {
			load := from.load(2, 2*time.Millisecond)
			left := chance.IntN(6 + 3*ends)
			stops := func(at sqlstore.Point) error {
				if at == sqlstore.Point(1+chance.IntN(2)) {
					if left--; left < 0 {
						return errors.New("boom")
					}
				}
				return nil
			}
			to.fault.Store(&stops)
			ctx, cancel := context.WithCancel(t.Context())
			reports := chance.IntN(6 + 4*ends)
			_, err := transfer.Move{From: from, To: to, Name: "there",
				Report: func(p transfer.Progress) {
					if reports--; reports < 0 {
						cancel()
					}
					if p.Phase == "pause" && chance.IntN(2) == 0 {
						lost := func(at sqlstore.Point) error { return errors.New("lost") }
						from.fault.Store(&lost)
					}
				}}.Run(ctx)
			cancel()
			load.end()
			for key, reply := range load.acks {
				if before, known := acks[key]; known && before != reply {
					t.Errorf("%s has two answers", key)
				}
				acks[key] = reply
			}
			to.again()
			from.again()
			if err == nil {
				break
			}
			if ends++; ends > 200 {
				t.Fatalf("no end after %d ends: %v", ends, err)
			}
			if from.Usable(t.Context()) == nil && to.Usable(t.Context()) == nil && to.begun() {
				t.Fatalf("two databases may be served at once: %v", err)
			}
		}
		t.Logf("%d ends", ends)
		same(t, from, to, acks)
	}
}

// TestMoveOverAChangeOfTheSchema breaks a copy off, changes the schema, and goes on.
func TestMoveOverAChangeOfTheSchema(t *testing.T) { across(t, moveOverAChangeOfTheSchema) }

func moveOverAChangeOfTheSchema(t *testing.T, a, b kind) {
	from, to := filled(t, a, 1500), b(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := transfer.Move{From: from, To: to, Name: "there",
		Report: func(p transfer.Progress) {
			if p.Phase == "copy" && p.What == "things" {
				cancel()
			}
		}}.Run(ctx)
	if err == nil {
		t.Fatal("it was not broken off")
	}
	next := schema(value.Field{Name: "note", Type: value.Type{Kind: value.TypeText, Optional: true}})
	if _, err := from.Apply(t.Context(), journal.Origin{Operation: "apply"}, spec.Diff(from.Schema(), next), nil); err != nil {
		t.Fatal(err)
	}
	to.again()
	if _, err := (transfer.Move{From: from, To: to, Name: "there"}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	to.again()
	same(t, from, to, nil)
}

func TestMoveRefusesWhatIsInUse(t *testing.T) {
	from, other, third := filled(t, file, 20), filled(t, file, 20), file(t)
	before := other.state()
	_, err := transfer.Move{From: from, To: other, Name: "there"}.Run(t.Context())
	if code(err) != transfer.CodeNotEmpty || other.state() != before {
		t.Errorf("a database in use: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = transfer.Move{From: other, To: third, Name: "there",
		Report: func(transfer.Progress) { cancel() }}.Run(ctx)
	if err == nil {
		t.Fatal("it was not broken off")
	}
	if err := third.Usable(t.Context()); code(err) != sqlstore.CodeFilling {
		t.Errorf("half a copy is served: %v", err)
	}
	if _, err = (transfer.Move{From: from, To: third}).Run(t.Context()); err == nil {
		t.Error("half a copy of another database was filled")
	}
	if err := from.Usable(t.Context()); err != nil {
		t.Errorf("a move that was refused: %v", err)
	}
}
