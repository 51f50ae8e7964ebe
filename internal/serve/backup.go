package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/galleybackend/galley/internal/backup"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/store/sqlstore"
)

// copied is a store that can be copied whole, and become the copy of another.
type copied interface {
	// Usable says why the database must not be served.
	Usable(ctx context.Context) error
	// Epoch names the history that the journal tells.
	Epoch(ctx context.Context) (string, error)
	// Snapshot, Leave and Fill are as in sqlstore.
	Snapshot(ctx context.Context, fn func(*sqlstore.Snapshot) error) error
	Leave(ctx context.Context, to string, fn func(*sqlstore.Snapshot) error) error
	Fill(ctx context.Context, fn func(*sqlstore.Filler) error) error
}

// handleBackup writes a backup of the present state.
func (s *Server) handleBackup(w http.ResponseWriter, r *http.Request) {
	newLines(w) // what takes long has no deadlines
	if err := writeBackup(r.Context(), s.store, s.Spec().App, w); err != nil {
		// What was written is not whole: an answer that breaks off says so.
		s.log.Error("a backup broke off", "cause", err)
		panic(http.ErrAbortHandler)
	}
}

func writeBackup(ctx context.Context, from copied, app string, w io.Writer) error {
	return from.Snapshot(ctx, func(p *sqlstore.Snapshot) error {
		if p.Marks[sqlstore.MarkFilling] != "" {
			return errors.New("a move into this database has not come to its end")
		}
		buf := bufio.NewWriterSize(w, 1<<16)
		if err := backup.Write(ctx, p, app, time.Now(), buf); err != nil {
			return err
		}
		return buf.Flush()
	})
}

// Backup calls fn with a backup of the app's database: from the server that runs on
// the data folder, or, if none runs, from the database itself. No app is needed for
// it. fn must read to the end.
func Backup(ctx context.Context, cfg Config, fn func(io.Reader) error) error {
	if door, ok := dialSocket(ctx, cfg); ok {
		defer door.Close()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://galley/local/backup", nil)
		if err != nil {
			return err
		}
		res, err := door.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("the running server answered %s", res.Status)
		}
		return fn(res.Body)
	}
	db, err := openThere(ctx, cfg)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeBackup(ctx, db, appName(cfg), w)
		_ = w.CloseWithError(err) // never fails
		written <- err
	}()
	err = fn(r)
	_ = r.CloseWithError(errors.New("nobody reads on")) // never fails
	if failed := <-written; failed != nil && err == nil {
		err = failed
	}
	return errors.Join(err, db.Close())
}

// appName is the app's name, "" if it cannot be read.
func appName(cfg Config) string {
	if c := Compile(cfg); c.Spec != nil {
		return c.Spec.App
	}
	return ""
}

// openThere opens a database that must be there already.
func openThere(ctx context.Context, cfg Config) (database, error) {
	return openAddress(ctx, cfg.DatabaseAddr())
}

// Restore makes the app's database from a backup, as backup.Restore does. No server
// may run on it.
func Restore(ctx context.Context, cfg Config, from io.Reader, o RestoreOptions) (
	out backup.Restored, err error) {
	if door, ok := dialSocket(ctx, cfg); ok {
		return out, errors.Join(fault.New(fault.Conflict,
			"A server runs on this data folder. Stop it first."), door.Close())
	}
	db, err := makeAddress(ctx, cfg.DatabaseAddr())
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	into := placed{db, cfg.DatabaseAddr()}
	if o.Journal == "" {
		return backup.Restore(ctx, from, into, o.Options)
	}
	other, err := openAddress(ctx, o.Journal)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	o.Later = placed{other, o.Journal}
	return backup.Restore(ctx, from, into, o.Options)
}

// RestoreOptions say how to restore.
type RestoreOptions struct {
	backup.Options
	// Journal, if it is set, is the address of a database whose journal goes on after
	// the backup: sqlite:PATH, or as --database takes it.
	Journal string
}
