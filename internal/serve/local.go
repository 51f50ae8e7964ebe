package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/transfer"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/transport/rest"
	"github.com/galleybackend/galley/internal/value"
)

// local is the handler of the local door: /api as everybody has it, but with the
// subject that the command names, and what only commands need below /local.
func (s *Server) local() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/", s.trusted(true))
	mux.HandleFunc("POST /local/import/{collection}", s.handleImport)
	mux.HandleFunc("GET /local/export/{collection}", s.handleExport)
	mux.HandleFunc("GET /local/journal", s.handleJournal)
	mux.HandleFunc("GET /local/database", s.handleDatabase)
	mux.HandleFunc("GET /local/backup", s.handleBackup)
	mux.HandleFunc("POST /local/move", s.handleMove)
	mux.HandleFunc("GET /local/user/{id}", s.handleUser)
	mux.HandleFunc("GET /local/plan", s.handlePlan)
	mux.HandleFunc("POST /local/apply", s.handleApply)
	s.localMail(mux)
	s.localDeliveries(mux)
	s.handleAfter(mux)
	return mux
}

// trusted is the API for those who say themselves as whom they ask.
func (s *Server) trusted(unrouted bool) http.Handler {
	return rest.New(rest.Config{
		Engine: calls{s}, Spec: s.Spec, Observe: s.observe, Docs: true, Unrouted: unrouted,
		Identify: s.identify, Broken: s.lastSave, Proxy: s.proxy.Ask, Mask: s.mask,
	})
}

// identify makes the command's subject the call's.
func (s *Server) identify(r *http.Request, call *engine.Call) error {
	call.Trusted, call.Credential, call.Door = true, "", "cli"
	call.DryRun = r.Header.Get(HeaderDryRun) != ""
	who := r.Header.Get(HeaderAs)
	switch {
	case who == "":
		call.Subject = admin(r)
		return nil
	case who == "anonymous":
		call.Subject = ident.Subject{}
		return nil
	}
	return s.store.Read(r.Context(), func(v store.View) error {
		if s.Spec().Collection(spec.Users) == nil {
			return fault.New(fault.Invalid, "The app has no users, so nobody can be asked as.")
		}
		id, err := ident.ParseRecord(who)
		if err != nil {
			row, err := s.accounts.UserOf(r.Context(), v, who)
			if err != nil {
				return err
			}
			if row.Zero() {
				return fault.New(fault.Invalid, "There is no user with the address %s.", who)
			}
			id = ident.Record(row.Slots[spec.SlotID].Text())
		} else if _, err := v.Get(r.Context(), spec.Users, id); err != nil {
			return fault.New(fault.Invalid, "There is no user with the id %s.", who)
		}
		call.Subject = ident.Subject{Who: ident.User, ID: id}
		return nil
	})
}

// lines writes one JSON object a line, each sent at once.
type lines struct {
	w   http.ResponseWriter
	enc *json.Encoder
}

func newLines(w http.ResponseWriter) lines {
	// Work for commands takes its time.
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})  // in this process there are no deadlines,
	_ = c.SetWriteDeadline(time.Time{}) // and none to be lifted
	w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return lines{w, enc}
}

func (l lines) say(v any) {
	_ = l.enc.Encode(v) // a command that is gone hears nothing
	if f, ok := l.w.(http.Flusher); ok {
		f.Flush()
	}
}

// failed is the last line of work that did not end well.
type failed struct {
	Error string `json:"error"`
	Code  string `json:"code"`
}

func failure(err error) failed {
	f := fault.From(err)
	text := f.Message
	if f.Cause != nil && !errors.As(err, new(located)) {
		text = err.Error()
	}
	return failed{Error: text, Code: f.CodeOr()}
}

// Progress is a line of the answer of an import: how many lines are done.
type Progress struct {
	Done int `json:"progress"`
}

func (s *Server) handleImport(w http.ResponseWriter, r *http.Request) {
	out := newLines(w)
	// Progress is told while the file still comes in. net/http wants such a request
	// read to its end, and its connection to have no other.
	_ = http.NewResponseController(w).EnableFullDuplex() // in this process there is no wire
	w.Header().Set("Connection", "close")
	defer func() { _, _ = io.Copy(io.Discard, r.Body) }() // what is left has no meaning
	name := r.PathValue("collection")
	c := s.engine.App().Collection(name)
	if c == nil || c.Quiet {
		out.say(failure(s.noCollection(name)))
		return
	}
	last := time.Now()
	job := s.importing(name, admin(r))
	job.Format = transfer.Format(r.URL.Query().Get("format"))
	job.Name = r.URL.Query().Get("name")
	job.Report = func(done int) {
		if now := time.Now(); now.Sub(last) >= 200*time.Millisecond {
			last = now
			out.say(Progress{done})
		}
	}
	var res transfer.Result
	var err error
	if r.URL.Query().Get("check") != "" {
		res, err = job.Check(r.Body)
	} else {
		res, err = job.Run(r.Context(), r.Body)
	}
	out.say(res)
	if err != nil {
		out.say(failure(err))
	}
}

// importing returns the import of a collection's records.
func (s *Server) importing(collection string, who ident.Subject) transfer.Import {
	c := s.engine.App().Collection(collection)
	job := transfer.Import{Collection: collection, Shape: importShape(c.Shape), Subject: who,
		Engine: calls{s}, There: s.there(collection)}
	if collection == spec.Users && s.Spec().Auth != nil {
		job.Password = s.password
	}
	return job
}

// there tells which records of a collection are there.
func (s *Server) there(collection string) func(context.Context, ident.Record) (bool, error) {
	return func(ctx context.Context, id ident.Record) (bool, error) {
		found := false
		err := s.store.Read(ctx, func(v store.View) error {
			_, err := v.Get(ctx, collection, id)
			if found = err == nil; fault.Is(err, fault.NotFound) {
				return nil
			}
			return err
		})
		return found, err
	}
}

// importShape is what a line of a file may hold: the id, which may be left out, and
// everything that is not the house's own, and of users the address.
func importShape(shape *value.Shape) *value.Shape {
	var fields []value.Field
	for i, f := range shape.Fields() {
		switch i {
		case spec.SlotID:
			f.Type.Optional = true
		case spec.SlotCreated, spec.SlotUpdated, spec.SlotVersion:
			continue
		}
		if f.Name == spec.FieldVerified || f.Default.Kind() != value.Absent {
			f.Type.Optional = true
		}
		fields = append(fields, f)
	}
	return value.NewShape(shape.Name(), fields)
}

// password returns the write that stores a user's password.
func (s *Server) password(ctx context.Context, user ident.Record, password string) (
	[]engine.Call, error) {
	hash, err := s.hasher.Hash(ctx, password)
	if err != nil {
		return nil, err
	}
	body := fmt.Appendf(nil, `{"user":%q,"hash":%q}`, user, hash)
	return []engine.Call{{Verb: engine.Create, Target: auth.Passwords, Body: body}}, nil
}

// journalName is what an export calls the journal.
const journalName = "journal"

// noCollection is the fault of a name that no collection of the database has.
func (s *Server) noCollection(name string) error {
	names := []string{}
	for _, t := range s.store.Schema().Collections {
		if !t.Quiet {
			names = append(names, t.Name)
		}
	}
	if near := value.Nearest(name, names); near != "" {
		return fault.New(fault.NotFound, "There is no collection %q. Did you mean %s?", name, near)
	}
	if len(names) == 0 {
		return fault.New(fault.NotFound, "The database is empty: there is no %s yet.", name)
	}
	return fault.New(fault.NotFound, "There is no collection %q; there are: %s.", name,
		strings.Join(names, ", "))
}

// handleExport writes all records of a collection, in one state of the database.
func (s *Server) handleExport(w http.ResponseWriter, r *http.Request) {
	out := newLines(w)
	name := r.PathValue("collection")
	table := s.store.Schema().Table(name)
	if name != journalName && (table == nil || table.Quiet) {
		w.WriteHeader(http.StatusNotFound)
		out.say(failure(s.noCollection(name)))
		return
	}
	buf := bufio.NewWriterSize(w, 64<<10)
	var err error
	if name == journalName {
		err = transfer.Journal(r.Context(), s.store, buf)
	} else {
		format := transfer.Format(r.URL.Query().Get("format"))
		err = transfer.Export(r.Context(), s.store, table.Shape, format, buf)
	}
	if err == nil {
		err = buf.Flush()
	}
	if err != nil {
		// What was written is not whole: an answer that breaks off says so.
		s.log.Error("an export broke off", "collection", name, "cause", err)
		panic(http.ErrAbortHandler)
	}
}

// handleUser writes the address of a user, by which people know him.
func (s *Server) handleUser(w http.ResponseWriter, r *http.Request) {
	out := newLines(w)
	err := s.store.Read(r.Context(), func(v store.View) error {
		row, err := v.Get(r.Context(), spec.Users, ident.Record(r.PathValue("id")))
		if err == nil {
			out.say(map[string]string{"email": row.Get(spec.FieldEmail).Text()})
		}
		return err
	})
	if err != nil {
		out.say(failure(err))
	}
}

// historyMax is how many entries of a record are told.
const historyMax = 1000

// handleJournal writes the entries that changed a record, oldest first.
func (s *Server) handleJournal(w http.ResponseWriter, r *http.Request) {
	out := newLines(w)
	collection, id := r.URL.Query().Get("collection"), r.URL.Query().Get("id")
	found, err := s.store.Entries(r.Context(),
		store.Filter{Collection: collection, Record: ident.Record(id)}, journal.Seq{}, historyMax)
	if err != nil {
		out.say(failure(err))
		return
	}
	for _, e := range slices.Backward(found) {
		out.say(json.RawMessage(transfer.AppendEntry(nil, e)))
	}
}

var _ transport.Engine = (*engine.Engine)(nil)
