package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
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
	Done  int     `json:"done"`
	Wrong []Wrong `json:"wrong,omitempty"`
	// WrongAll counts all wrong lines, of which Wrong tells the first.
	WrongAll int `json:"wrong_all,omitempty"`
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

// fieldPassword is the field of a line that is no field of users.
const fieldPassword = "password"

// shape is what a line may hold.
func (i Import) shape() *value.Shape {
	if i.Password == nil {
		return i.Shape
	}
	fields := append([]value.Field(nil), i.Shape.Fields()...)
	fields = append(fields, value.Field{Name: fieldPassword,
		Type: value.Type{Kind: value.TypeString, Optional: true}})
	return value.NewShape(i.Shape.Name(), fields)
}

// Run writes the file's records, groupMax in a commit. What a group refuses is tried
// again line by line, so that one wrong line keeps no other out. Run again on the
// same file it writes nothing twice.
func (i Import) Run(ctx context.Context, src io.Reader) (Result, error) {
	var res Result
	var group []line
	var failed error
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

// group writes lines in one commit, or, if that is refused, each in its own.
func (i Import) group(ctx context.Context, res *Result, group []line) error {
	calls, err := i.calls(ctx, group)
	if err != nil {
		return err
	}
	err = i.write(ctx, group, calls)
	if err == nil {
		res.Done += len(group)
		return nil
	}
	for k, l := range group {
		if err := i.write(ctx, group[k:k+1], calls[k:k+1]); err != nil {
			f := fault.From(err)
			switch f.Kind {
			case fault.Unavailable, fault.Unknown, fault.Internal, fault.Timeout:
				return fmt.Errorf("line %d: %w", l.number, err)
			}
			if ctx.Err() != nil {
				return fmt.Errorf("line %d: %w", l.number, ctx.Err())
			}
			res.wrong(l.number, f.CodeOr(), detailOf(f))
			continue
		}
		res.Done++
	}
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

// write sends lines as one batch under a key made of all they say.
func (i Import) write(ctx context.Context, group []line, calls [][]engine.Call) error {
	hash := sha256.New()
	fmt.Fprintf(hash, "import %s\n", i.Collection)
	var batch []engine.Call
	for k, l := range group {
		hash.Write(l.body)
		hash.Write([]byte{'\n'})
		fmt.Fprintln(hash, l.number)
		batch = append(batch, calls[k]...)
	}
	_, err := i.Engine.Execute(ctx, engine.Call{
		ID: ident.NewCall(), Verb: engine.Batch, Batch: batch, Trusted: true,
		Subject: i.Subject, Door: "import", Key: "import-" + hex.EncodeToString(hash.Sum(nil)),
	})
	return err
}

// calls turns lines into creates, one for each line and more for passwords, which are
// hashed on all cores.
func (i Import) calls(ctx context.Context, group []line) ([][]engine.Call, error) {
	out := make([][]engine.Call, len(group))
	errs := make([]error, len(group))
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	for k, l := range group {
		create := engine.Call{Verb: engine.Create, Target: i.Collection, Body: l.body}
		if i.Password == nil {
			out[k] = []engine.Call{create}
			continue
		}
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			out[k], errs[k] = i.withPassword(ctx, create)
		})
	}
	all.Wait()
	return out, errors.Join(errs...)
}

// withPassword takes the password out of a line and adds what stores it.
func (i Import) withPassword(ctx context.Context, create engine.Call) ([]engine.Call, error) {
	row, _, err := value.DecodeObject(create.Body, i.shape(), value.Decoding{Partial: true})
	if err != nil {
		return nil, err
	}
	password := row.Get(fieldPassword)
	if password.IsNull() {
		return []engine.Call{create}, nil
	}
	id := ident.Record(row.Get("id").Text())
	if id == "" {
		// The password needs to know whose it is; the same line gives the same id.
		sum := sha256.Sum256(create.Body)
		id = ident.FromBytes([16]byte(sum[:16]))
		if id[0] > '7' {
			id = "0" + id[1:]
		}
		row.Set("id", value.OfText(string(id)))
	}
	row.Set(fieldPassword, value.Value{})
	create.Body = value.AppendRecord(nil, row)
	more, err := i.Password(ctx, id, password.Text())
	return append([]engine.Call{create}, more...), err
}
