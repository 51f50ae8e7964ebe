package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Bounds of an import.
const (
	// groupMax is how many records are written in one commit.
	groupMax = 500
	// errorMax is how many wrong lines are told; the rest is counted.
	errorMax = 200
)

// Engine is what an import writes through.
type Engine interface {
	Execute(ctx context.Context, call engine.Call) (engine.Reply, error)
}

// Import is one file to bring in.
type Import struct {
	Collection string
	// Name is what the file is called. A line is known again by it, by what the line
	// says, and by how often the file has said that before.
	Name string
	// Shape is what a line may hold: the fields of the collection, its id, and for
	// users the address.
	Shape  *value.Shape
	Format Format
	// Subject is the admin who imports.
	Subject ident.Subject
	// Password, if set, makes the field password of a line a credential: it returns
	// the operations that store it for the user.
	Password func(ctx context.Context, user ident.Record, password string) ([]engine.Call, error)
	// Report is told how many lines are done, now and then.
	Report func(done int)
	// There reports whether a record is there already.
	There func(ctx context.Context, id ident.Record) (bool, error)
	// Engine is what writes.
	Engine Engine
}

// Wrong is a line that was not taken.
type Wrong struct {
	Line   int    `json:"line"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Result is what an import came to.
type Result struct {
	// Done counts the lines that are in, There those of them that were in before.
	Done  int     `json:"done"`
	There int     `json:"there,omitempty"`
	Wrong []Wrong `json:"wrong,omitempty"`
	// WrongAll counts all wrong lines, of which Wrong tells the first.
	WrongAll int `json:"wrong_all,omitempty"`
}

// in counts lines that are in, and were before or not.
func (r *Result) in(lines int, before bool) {
	r.Done += lines
	if before {
		r.There += lines
	}
}

func (r *Result) wrong(n int, code, detail string) {
	r.WrongAll++
	if len(r.Wrong) < errorMax {
		r.Wrong = append(r.Wrong, Wrong{n, code, detail})
	}
}

// Check reads the whole file without writing and returns all lines that break their
// types.
func (i Import) Check(src io.Reader) (Result, error) {
	var res Result
	err := lines(src, i.Format, i.shape(), func(l line) bool {
		res.Done++
		i.tell(&res, l)
		if i.Report != nil {
			i.Report(res.Done)
		}
		return true
	})
	return res, err
}

// tell notes what is wrong with a line, and reports whether anything is.
func (i Import) tell(res *Result, l line) bool {
	switch {
	case l.err != nil:
		res.wrong(l.number, "invalid_request", l.err.Error())
	case len(l.issues) > 0:
		said := make([]string, len(l.issues))
		for k, issue := range l.issues {
			said[k] = strings.TrimPrefix(issue.Pointer, "#/") + " " + issue.Detail
		}
		res.wrong(l.number, "invalid_input", strings.Join(said, "; "))
	default:
		return false
	}
	return true
}

// The fields of a line that are no fields of its record: the password of users, and
// what the house itself writes, so that an export can be brought in as it is.
const fieldPassword = "password"

var extra = []value.Field{
	{Name: spec.FieldCreated, Type: value.Type{Kind: value.TypeTime, Optional: true}},
	{Name: spec.FieldUpdated, Type: value.Type{Kind: value.TypeTime, Optional: true}},
	{Name: spec.FieldVersion, Type: value.Type{Kind: value.TypeInt, Optional: true}},
	{Name: fieldPassword, Type: value.Type{Kind: value.TypeString, Optional: true}},
}

// shape is what a line may hold.
func (i Import) shape() *value.Shape {
	fields := slices.Clone(i.Shape.Fields())
	for _, f := range extra {
		if _, taken := i.Shape.Index(f.Name); taken || f.Name == fieldPassword && i.Password == nil {
			continue
		}
		fields = append(fields, f)
	}
	return value.NewShape(i.Shape.Name(), fields)
}

// Run writes the file's records, groupMax in a commit. What a group refuses is tried
// again line by line, so that one wrong line keeps no other out. Run again on the
// same file it writes nothing twice.
func (i Import) Run(ctx context.Context, src io.Reader) (Result, error) {
	var res Result
	var group []line
	var failed error
	said := map[[16]byte]uint32{}
	flush := func() bool {
		failed = i.group(ctx, &res, group)
		group = group[:0]
		if i.Report != nil {
			i.Report(res.Done)
		}
		return failed == nil
	}
	err := lines(src, i.Format, i.shape(), func(l line) bool {
		if i.tell(&res, l) {
			return true
		}
		if l.id = ident.Record(l.row.Get(spec.FieldID).Text()); l.id == "" {
			l.id = i.idOf(&l, said)
		}
		if group = append(group, l); len(group) == groupMax {
			return flush()
		}
		return true
	})
	if err == nil && failed == nil && len(group) > 0 {
		flush()
	}
	if failed != nil {
		return res, failed
	}
	return res, err
}

// idOf makes an id for a line that has none, the same whenever the same file says the
// same: so a line cannot be written twice, whatever became of the lines around it.
func (i Import) idOf(l *line, said map[[16]byte]uint32) ident.Record {
	sum := sha256.Sum256(l.body)
	body := [16]byte(sum[:16])
	whole := fmt.Appendf(nil, "%s\n%s\n%d\n", i.Collection, i.Name, said[body])
	said[body]++
	sum = sha256.Sum256(append(whole, l.body...))
	return ident.FromBytes([16]byte(sum[:16]))
}

// group writes lines in one commit, or, if that is refused, each in its own. If they take
// too long, as they may on a machine with other things to do, each half has a commit.
func (i Import) group(ctx context.Context, res *Result, group []line) error {
	before, err := i.write(ctx, group)
	if err == nil {
		res.in(len(group), before)
		return nil
	}
	if half := len(group) / 2; half > 0 && fault.Is(err, fault.Timeout) && ctx.Err() == nil {
		if err := i.group(ctx, res, group[:half]); err != nil {
			return err
		}
		return i.group(ctx, res, group[half:])
	}
	if gaveUp(ctx, err) {
		return fmt.Errorf("line %d: %w", group[0].number, err)
	}
	for k := range group {
		l := &group[k]
		if err := i.one(ctx, res, l); err != nil {
			return fmt.Errorf("line %d: %w", l.number, err)
		}
	}
	return nil
}

// gaveUp reports whether an error is of the store and not of what was written.
func gaveUp(ctx context.Context, err error) bool {
	switch fault.From(err).Kind {
	case fault.Unavailable, fault.Unknown, fault.Internal, fault.Timeout:
		return true
	}
	return ctx.Err() != nil
}

// one writes a line in a commit of its own, and notes what came of it.
func (i Import) one(ctx context.Context, res *Result, l *line) error {
	before, err := i.write(ctx, []line{*l})
	if err == nil {
		res.in(1, before)
		return nil
	}
	if gaveUp(ctx, err) {
		return err
	}
	f := fault.From(err)
	if f.Kind == fault.Exists && i.There != nil {
		there, err := i.There(ctx, l.id)
		if err != nil {
			return err
		}
		if there {
			res.in(1, true)
			return i.setPasswords(ctx, []line{*l}, i.key([]line{*l}))
		}
	}
	res.wrong(l.number, f.CodeOr(), detailOf(f))
	return nil
}

func detailOf(f *fault.Fault) string {
	if len(f.Items) == 0 {
		return f.Message
	}
	said := make([]string, len(f.Items))
	for k, item := range f.Items {
		said[k] = strings.TrimPrefix(item.Pointer, "#/") + " " + item.Detail
	}
	return strings.Join(said, "; ")
}

// write sends lines as one batch under a key made of all they say, and then their
// passwords as another: the salt of a password makes it new at each try, so that it
// cannot be a part of what the first key stands for. It reports whether the lines were
// in before.
func (i Import) write(ctx context.Context, group []line) (bool, error) {
	creates := make([]engine.Call, len(group))
	for k := range group {
		creates[k] = i.create(&group[k])
	}
	key := i.key(group)
	before, err := i.batch(ctx, key, creates)
	if err != nil {
		return false, err
	}
	return before, i.setPasswords(ctx, group, key)
}

// key is the idempotency key of lines: what they say.
func (i Import) key(group []line) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "import %s\n", i.Collection)
	for k := range group {
		fmt.Fprintf(hash, "%s\n%s\n", group[k].id, group[k].body)
	}
	return "import-" + hex.EncodeToString(hash.Sum(nil))
}

// setPasswords stores the passwords of lines whose users are there. One that was
// stored before stays.
func (i Import) setPasswords(ctx context.Context, group []line, key string) error {
	if i.Password == nil {
		return nil
	}
	passwords, err := i.passwords(ctx, group)
	if err != nil || len(passwords) == 0 {
		return err
	}
	_, err = i.batch(ctx, key+"-password", passwords)
	if err == nil {
		return nil
	}
	switch f := fault.From(err); {
	case f.CodeOr() == "idempotency_key_reused":
		return nil // they were stored before, with another salt
	case f.Kind == fault.Exists && len(group) == 1:
		return nil // he has one
	}
	return err
}

func (i Import) batch(ctx context.Context, key string, calls []engine.Call) (bool, error) {
	reply, err := i.Engine.Execute(ctx, engine.Call{
		ID: ident.NewCall(), Verb: engine.Batch, Batch: calls, Trusted: true,
		Subject: i.Subject, Door: "import", Key: key,
	})
	return reply.Replayed, err
}

// create turns a line into a create of its id, without the fields that are not its
// record's.
func (i Import) create(l *line) engine.Call {
	out := engine.Call{Verb: engine.Create, Target: i.Collection, Body: l.body}
	row, _, err := value.DecodeObject(l.body, l.row.Shape, value.Decoding{Partial: true})
	if err != nil {
		return out // it was read before; the engine says so if not
	}
	for _, f := range extra {
		if _, own := i.Shape.Index(f.Name); !own {
			row.Set(f.Name, value.Value{})
		}
	}
	row.Set(spec.FieldID, value.OfText(string(l.id)))
	out.Body = value.AppendRecord(nil, row)
	return out
}

func (i Import) hasPassword(l *line) bool {
	return i.Password != nil && l.row.Get(fieldPassword).Kind() == value.Text
}

// passwords returns the writes that store the passwords of lines, which are hashed on
// all cores.
func (i Import) passwords(ctx context.Context, group []line) ([]engine.Call, error) {
	out := make([][]engine.Call, len(group))
	errs := make([]error, len(group))
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	for k := range group {
		l := &group[k]
		if !i.hasPassword(l) {
			continue
		}
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			out[k], errs[k] = i.Password(ctx, l.id, l.row.Get(fieldPassword).Text())
		})
	}
	all.Wait()
	return slices.Concat(out...), errors.Join(errs...)
}
