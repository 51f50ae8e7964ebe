package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/backup"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// world is a store with a history, and what its records were at each place of it.
type world struct {
	t      *testing.T
	ctx    context.Context
	store  *sqlite.Store
	chance *rand.Rand
	now    time.Time
	ids    map[string][]ident.Record
	// states holds the records at a place as a text, times the instant of its entry.
	states map[uint64]string
	times  map[uint64]time.Time
	last   uint64
}

var (
	text  = value.Type{Kind: value.TypeString}
	whole = value.Type{Kind: value.TypeInt}
)

func maybe(t value.Type) value.Type { t.Optional = true; return t }

func field(name string, t value.Type) value.Field { return value.Field{Name: name, Type: t} }

func to(name string) value.Type { return value.Type{Kind: value.TypeRelation, Of: name} }

// forms are the schemas through which a history goes: fields come, go, change their
// names and types; collections come and go.
func forms() []struct {
	schema *spec.Schema
	was    []spec.Rename
} {
	users := storetest.Table("users", field("name", text), field("born", maybe(
		value.Type{Kind: value.TypeDate})))
	logins := storetest.Table("_logins", field("user", to("users")), field("hash", text))
	logins.Quiet, logins.OnDelete = true, map[string]string{"user": spec.OnDeleteCascade}
	place := value.Type{Kind: value.TypeObject, Optional: true, Fields: value.NewShape("place",
		[]value.Field{field("city", text), field("since", value.Type{Kind: value.TypeTime})})}
	things := func(name string, price value.Type, more ...value.Field) *spec.Table {
		t := storetest.Table(name, append([]value.Field{field("code", text), field("price", price),
			field("owner", maybe(to("users"))), field("tags", maybe(value.Type{
				Kind: value.TypeList, Elem: &text})), field("place", place),
			field("any", maybe(value.Type{Kind: value.TypeJSON}))}, more...)...)
		t.Unique = [][]string{{"code"}}
		t.OnDelete = map[string]string{"owner": spec.OnDeleteClear}
		return t
	}
	float := value.Type{Kind: value.TypeFloat}
	return []struct {
		schema *spec.Schema
		was    []spec.Rename
	}{
		{&spec.Schema{Collections: []*spec.Table{users, logins, things("things", whole),
			storetest.Table("notes", field("note", text))}}, nil},
		{&spec.Schema{Collections: []*spec.Table{users, logins, things("things", whole,
			field("open", maybe(value.Type{Kind: value.TypeBool})))}}, nil},
		{&spec.Schema{Collections: []*spec.Table{users, logins, things("goods", maybe(float),
			field("sold", maybe(value.Type{Kind: value.TypeTime})))}},
			[]spec.Rename{{Collection: "goods", From: "things"}}},
	}
}

// history makes a store with some hundred commits.
func history(t *testing.T, calls int) *world {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctx: t.Context(), store: s, chance: rand.New(rand.NewPCG(seed, 0)),
		now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), ids: map[string][]ident.Record{},
		states: map[uint64]string{}, times: map[uint64]time.Time{}}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, f := range forms() {
		steps := spec.Diff(s.Schema(), f.schema, f.was...)
		w.note(s.Apply(w.ctx, w.origin("apply"), steps, nil))
		if goods := w.ids["things"]; f.schema.Table("goods") != nil {
			w.ids["goods"] = goods
		}
		for range calls {
			w.call()
		}
	}
	return w
}

func (w *world) origin(operation string) journal.Origin {
	w.now = w.now.Add(time.Duration(w.chance.IntN(3)) * time.Second)
	o := journal.Origin{Call: ident.NewCall(), Operation: operation, Now: w.now,
		Subject: ident.Subject{Who: ident.Admin, Name: "test"}}
	if w.chance.IntN(3) == 0 {
		o.Key = fmt.Sprint("key ", w.last)
	}
	return o
}

// note keeps the state after an entry.
func (w *world) note(e journal.Entry, err error) {
	w.t.Helper()
	// A record that was drawn may point to one that the same call took away.
	if f := fault.From(err); f != nil && f.Kind != fault.Invalid && !f.Kind.Kept() {
		w.t.Fatal(err)
	}
	if e.Seq.Lo > w.last {
		w.last = e.Seq.Lo
		w.states[w.last], w.times[w.last] = state(w.t, w.store, false), w.now
	}
}

// call changes a few records.
func (w *world) call() {
	w.note(w.store.Write(w.ctx, w.origin("test"), func(tx store.Tx) error {
		for range 1 + w.chance.IntN(3) {
			tables := w.store.Schema().Collections
			if err := w.touch(tx, tables[w.chance.IntN(len(tables))]); err != nil {
				return err
			}
		}
		tx.Reply(value.OfText("done"))
		return nil
	}))
}

// touch makes a record, changes one or takes one away.
func (w *world) touch(tx store.Tx, t *spec.Table) error {
	ids := w.ids[t.Name]
	what := w.chance.IntN(10)
	if len(ids) == 0 || what < 5 {
		r, err := w.draw(t)
		if err != nil || r.Zero() {
			return err
		}
		got, err := tx.Put(w.ctx, t.Name, r)
		if err == nil {
			w.ids[t.Name] = append(ids, ident.Record(got.Slots[spec.SlotID].Text()))
		}
		return err
	}
	id := ids[w.chance.IntN(len(ids))]
	if what == 9 {
		err := tx.Delete(w.ctx, t.Name, id)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	}
	r, err := w.draw(t)
	if err != nil || r.Zero() {
		return err
	}
	r.Slots[spec.SlotID], r.Slots[spec.SlotVersion] = value.OfText(string(id)), value.OfNull()
	if _, err = tx.Put(w.ctx, t.Name, r); fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// draw makes a record by chance; it is zero if there is nothing to point at.
func (w *world) draw(t *spec.Table) (value.Record, error) {
	r := value.NewRecord(t.Shape)
	for i := spec.SlotFirst; i < t.Shape.Len(); i++ {
		f := t.Shape.Fields()[i]
		if f.Type.Optional && w.chance.IntN(3) == 0 {
			r.Slots[i] = value.OfNull()
			continue
		}
		switch f.Type.Kind {
		case value.TypeRelation:
			id, err := w.there(f.Type.Of)
			if err != nil || id == "" {
				return value.Record{}, err
			}
			r.Slots[i] = value.OfText(string(id))
		case value.TypeInt:
			r.Slots[i] = value.OfInt(w.chance.Int64N(1000))
		case value.TypeFloat:
			r.Slots[i] = value.OfFloat(w.chance.NormFloat64() * 1e6)
		case value.TypeBool:
			r.Slots[i] = value.OfBool(w.chance.IntN(2) == 0)
		case value.TypeDate:
			r.Slots[i] = value.OfMillis(value.Date, w.chance.Int64N(20000)*86_400_000)
		case value.TypeTime:
			r.Slots[i] = value.OfMillis(value.Time, w.chance.Int64N(1<<41))
		case value.TypeJSON:
			r.Slots[i] = value.OfJSON(`{"a":[1,null,"é\n"]}`)
		case value.TypeList:
			r.Slots[i] = value.OfList([]value.Value{value.OfText("a"), value.OfText(`"b"`)})
		case value.TypeObject:
			o := value.NewRecord(f.Type.Fields)
			o.Slots[0], o.Slots[1] = value.OfText("Lisboa"), value.OfMillis(value.Time, 1e12)
			r.Slots[i] = value.OfRecord(o)
		default:
			r.Slots[i] = value.OfText(fmt.Sprintf("%s é\u2028\" %d", f.Name, w.chance.Uint64()))
		}
	}
	return r, nil
}

// there returns the id of some record, "" if there is none.
func (w *world) there(name string) (id ident.Record, err error) {
	err = w.store.Read(w.ctx, func(v store.View) error {
		rows, err := v.Find(w.ctx, query.Query{Plan: &query.Plan{From: name}})
		if err == nil && len(rows) > 0 {
			id = ident.Record(rows[w.chance.IntN(len(rows))].Slots[spec.SlotID].Text())
		}
		return err
	})
	return id, err
}

// state writes all records as a text: with those of quiet collections, or without.
func state(t *testing.T, s interface {
	Snapshot(context.Context, func(*sqlstore.Snapshot) error) error
}, quiet bool) string {
	t.Helper()
	var b strings.Builder
	err := s.Snapshot(t.Context(), func(p *sqlstore.Snapshot) error {
		tables := slices.Clone(p.Schema().Collections)
		slices.SortFunc(tables, func(x, y *spec.Table) int { return strings.Compare(x.Name, y.Name) })
		for _, table := range tables {
			if table.Quiet && !quiet {
				continue
			}
			err := p.Records(t.Context(), table.Name, "", func(r value.Record) error {
				fmt.Fprintf(&b, "%s %s\n", table.Name, value.AppendRecord(nil, r))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// backup returns a backup of the store.
func (w *world) backup() []byte {
	w.t.Helper()
	var b bytes.Buffer
	err := w.store.Snapshot(w.ctx, func(p *sqlstore.Snapshot) error {
		return backup.Write(w.ctx, p, "test", w.now, &b)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// restored restores into a new file and opens it.
func restored(t *testing.T, file []byte, o backup.Options) (*sqlite.Store, backup.Restored) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "galley.db")
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	out, err := backup.Restore(t.Context(), bytes.NewReader(file), s, o)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = sqlite.Open(t.Context(), sqlite.Config{Path: path, Unsafe: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, out
}

func TestRestoredIsWhatWasBackedUp(t *testing.T) {
	w := history(t, 60)
	file := w.backup()
	sum, err := backup.Verify(t.Context(), bytes.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Seq != fmt.Sprint(w.last) || sum.Entries != int64(w.last) || sum.App != "test" {
		t.Errorf("got %+v, want %d entries", sum, w.last)
	}
	s, out := restored(t, file, backup.Options{})
	if got, want := state(t, s, true), state(t, w.store, true); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := storetest.Fold(t.Context(), s); err != nil {
		t.Error(err)
	}
	if out.Epoch == sum.Epoch || out.Epoch == "" {
		t.Errorf("the epoch is %q, and was %q before", out.Epoch, sum.Epoch)
	}
	var again bytes.Buffer
	err = s.Snapshot(t.Context(), func(p *sqlstore.Snapshot) error {
		p.Marks[sqlstore.MarkEpoch] = sum.Epoch
		return backup.Write(t.Context(), p, "test", w.now, &again)
	})
	if err != nil || !bytes.Equal(again.Bytes(), file) {
		t.Errorf("a backup of what was restored is another (%v)", err)
	}
}

func TestRestoreLeadsToEveryMoment(t *testing.T) {
	w := history(t, 8)
	file := w.backup()
	for seq := range w.last {
		seq++
		s, out := restored(t, file, backup.Options{To: backup.Moment{Seq: journal.Seq{Lo: seq}}})
		if out.Seq != fmt.Sprint(seq) {
			t.Errorf("restored to %s, want %d", out.Seq, seq)
		}
		if got := state(t, s, false); got != w.states[seq] {
			t.Fatalf("at %d: got\n%s\nwant\n%s", seq, got, w.states[seq])
		}
		if err := storetest.Fold(t.Context(), s); err != nil {
			t.Errorf("at %d: %v", seq, err)
		}
	}
	for seq, at := range w.times {
		want := seq
		for w.times[want+1] != (time.Time{}) && !w.times[want+1].After(at) {
			want++
		}
		_, out := restored(t, file, backup.Options{To: backup.Moment{At: at}})
		if out.Seq != fmt.Sprint(want) {
			t.Errorf("restored to %v: entry %s, want %d", at, out.Seq, want)
		}
		if seq%5 == 0 {
			break
		}
	}
}

// TestRestoreGoesOnWithTheJournal restores an old backup and what came after it.
func TestRestoreGoesOnWithTheJournal(t *testing.T) {
	w := history(t, 10)
	file := w.backup()
	for range 30 {
		w.call()
	}
	for _, to := range []backup.Moment{{}, {Seq: journal.Seq{Lo: w.last - 7}}} {
		s, _ := restored(t, file, backup.Options{To: to, Later: w.store})
		want := w.last
		if !to.Zero() {
			want = to.Seq.Lo
		}
		if got := state(t, s, false); got != w.states[want] {
			t.Errorf("got\n%s\nwant\n%s", got, w.states[want])
		}
		if err := storetest.Fold(t.Context(), s); err != nil {
			t.Error(err)
		}
	}
	other := history(t, 2)
	empty, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = backup.Restore(t.Context(), bytes.NewReader(file), empty,
		backup.Options{Later: other.store})
	if err := empty.Close(); err != nil {
		t.Error(err)
	}
	if err == nil || !strings.Contains(err.Error(), "another history") {
		t.Errorf("the journal of another database: %v", err)
	}
}

func TestRestoreRefusesWhatIsInUse(t *testing.T) {
	w, other := history(t, 5), history(t, 5)
	file, before := w.backup(), state(t, other.store, true)
	_, err := backup.Restore(t.Context(), bytes.NewReader(file), other.store, backup.Options{})
	if fault.From(err).CodeOr() != backup.CodeNotEmpty {
		t.Errorf("got %v", err)
	}
	_, err = backup.Restore(t.Context(), bytes.NewReader(file[:len(file)-20]), other.store,
		backup.Options{Replace: true})
	if err == nil {
		t.Error("half a backup was restored")
	}
	if got := state(t, other.store, true); got != before {
		t.Errorf("a restore that failed has left\n%s\nof\n%s", got, before)
	}
	if _, err := backup.Restore(t.Context(), bytes.NewReader(file), other.store,
		backup.Options{Replace: true}); err != nil {
		t.Fatal(err)
	}
	if got, want := state(t, other.store, true), state(t, w.store, true); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestDamageIsFound changes, cuts and leaves out what a backup holds.
func TestDamageIsFound(t *testing.T) {
	w := history(t, 8)
	file := w.backup()
	wrong := func(name string, file []byte) {
		t.Helper()
		if _, err := backup.Verify(t.Context(), bytes.NewReader(file), nil); err == nil {
			t.Errorf("%s is not found", name)
		}
	}
	for range 100 {
		at := w.chance.IntN(len(file))
		flipped := bytes.Clone(file)
		flipped[at] ^= 1 << w.chance.IntN(8)
		wrong(fmt.Sprintf("a bit that flipped at %d", at), flipped)
		wrong(fmt.Sprintf("a cut at %d", at), file[:at])
	}
	wrong("what follows the end", append(bytes.Clone(file), "\n"...))
	wrong("nothing", nil)
}

// TestABackupOfALaterFormIsRefused reads one of which this release knows nothing.
func TestABackupOfALaterFormIsRefused(t *testing.T) {
	later := bytes.Replace(history(t, 4).backup(), []byte(`"form":1`), []byte(`"form":2`), 1)
	_, err := backup.Verify(t.Context(), bytes.NewReader(later), nil)
	for _, want := range []string{"form 2", "form 1", "the galley that made it"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want to read of %q", err, want)
		}
	}
}

// TestRecordsBesideTheJournalAreFound changes a record without an entry, which no
// hash can find.
func TestRecordsBesideTheJournalAreFound(t *testing.T) {
	w := history(t, 20)
	err := w.store.Fill(t.Context(), func(f *sqlstore.Filler) error {
		id, err := w.there("goods")
		if err != nil {
			return err
		}
		found, err := f.Some(t.Context(), "goods", []ident.Record{id})
		if err != nil {
			return err
		}
		r := found[id]
		after := r.Clone()
		after.Set("code", value.OfText("forged"))
		return f.Change(journal.Change{Collection: "goods", ID: id, Before: r, After: after})
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = backup.Verify(t.Context(), bytes.NewReader(w.backup()), nil)
	if err == nil || !strings.Contains(err.Error(), "goods") {
		t.Errorf("got %v", err)
	}
}

func TestSavedFileIsWholeOrNotThere(t *testing.T) {
	w := history(t, 5)
	file := w.backup()
	name := filepath.Join(t.TempDir(), "a.galley")
	_, err := backup.Save(t.Context(), name, bytes.NewReader(file[:len(file)/2]), backup.Report{})
	if err == nil {
		t.Error("half a backup was saved")
	}
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) > 0 {
		t.Errorf("there is %v (%v)", left, err)
	}
	saved, err := backup.Save(t.Context(), name, bytes.NewReader(file), backup.Report{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != saved.Bytes {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := backup.Save(t.Context(), name, bytes.NewReader(file),
		backup.Report{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second one: %v", err)
	}
	sum, err := backup.VerifyFile(t.Context(), name, nil)
	if err != nil || sum.SHA256 != saved.SHA256 {
		t.Errorf("%+v, %v", sum, err)
	}
	if got, want := slices.Sorted(maps.Keys(sum.Records)), sum.Collections(); !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, want)
	}
}
