// Package scratch makes room for trials in somebody's database: schemas of its own on
// a server, files of its own beside a file. What is there already is neither read nor
// written, and what was made is removed. What is tried there is the caller's affair.
package scratch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
)

const (
	// namePrefix begins the name of everything that is made.
	namePrefix = "galley_conform_"
	// readers is the number of connections for reading of each trial, which has at
	// most two stores open.
	readers = 6
	// removeTime bounds the removal of one trial.
	removeTime = 30 * time.Second
	// noRight is the SQLSTATE of a role that may not do what it tried.
	noRight = "42501"
)

// Ground is where trials are made.
type Ground struct {
	ground
	name  string
	count atomic.Int64
}

// ground is a kind of database.
type ground interface {
	// add makes room of a name and returns how a store is opened in it.
	add(ctx context.Context, name string) (storetest.Place, error)
	// remove takes away what add, and the stores, have made.
	remove(ctx context.Context, name string) error
}

// New returns the ground of an address, sqlite:PATH or postgres://…, after it has made
// and removed something there. An address that cannot be used is a *fault.Fault that
// says what is missing.
func New(ctx context.Context, address string) (*Ground, error) {
	var b [4]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails on the systems we run on
	g := &Ground{name: namePrefix + hex.EncodeToString(b[:])}
	switch path, isFile := strings.CutPrefix(address, "sqlite:"); {
	case isFile && path != "":
		g.ground = files{filepath.Dir(path)}
	case strings.HasPrefix(address, "postgres://"), strings.HasPrefix(address, "postgresql://"):
		s, err := newSchemas(address)
		if err != nil {
			return nil, err
		}
		g.ground = s
	default:
		return nil, fault.New(fault.Invalid,
			"This is no address of a database: sqlite:PATH or postgres://…")
	}
	place, remove, err := g.Place(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tried(place), remove()); err != nil {
		return nil, err
	}
	return g, nil
}

// tried opens a store in a place once. One that cannot be opened anywhere breaks no
// promise: it cannot be used.
func tried(place storetest.Place) error {
	s, err := place(storetest.Faults{})
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The database cannot be used: %v", err)
	}
	return s.Close()
}

// Place makes room for one trial. Whoever calls it calls remove when the stores that
// were opened there are closed.
func (g *Ground) Place(ctx context.Context) (p storetest.Place, remove func() error, err error) {
	name := fmt.Sprintf("%s_%d", g.name, g.count.Add(1))
	if p, err = g.add(ctx, name); err != nil {
		return nil, nil, err
	}
	return p, func() error {
		ctx, end := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
		defer end()
		if err := g.remove(ctx, name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		return nil
	}, nil
}

// points turns the hooks of a check into those of a store.
func points(f storetest.Faults) func(sqlstore.Point) error {
	return func(at sqlstore.Point) error {
		switch {
		case at == sqlstore.BeforeCommit && f.Before != nil:
			return f.Before()
		case at == sqlstore.AfterCommit && f.After != nil:
			return f.After()
		}
		return nil
	}
}

// files are trials beside a file.
type files struct{ dir string }

func (s files) add(_ context.Context, name string) (storetest.Place, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fault.Wrap(fault.Denied, err, "The folder %s cannot be made.", s.dir)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fault.Wrap(fault.Denied, err, "Nothing can be written beside the file: %v", err)
	}
	return func(f storetest.Faults) (storetest.Store, error) {
		s, err := sqlite.Open(context.Background(), sqlite.Config{
			Path: filepath.Join(dir, "galley.db"), Fault: points(f)})
		if err != nil {
			return nil, err // and not a store that is nil
		}
		return s, nil
	}, nil
}

func (s files) remove(_ context.Context, name string) error {
	return os.RemoveAll(filepath.Join(s.dir, name))
}

// schemas are trials in schemas of a server.
type schemas struct {
	address url.URL
	config  *pgconn.Config
}

func newSchemas(address string) (*schemas, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fault.New(fault.Invalid, "The address of the database cannot be read.")
	}
	words := u.Query()
	words.Del("schema")
	u.RawQuery = words.Encode()
	config, err := pgconn.ParseConfig(u.String())
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The address of the database cannot be used: %v",
			err)
	}
	return &schemas{*u, config}, nil
}

// exec runs a statement on a connection of its own.
func (s *schemas) exec(ctx context.Context, sql string) (err error) {
	c, err := pgconn.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The database %s:%d/%s cannot be reached: %v",
			s.config.Host, s.config.Port, s.config.Database, postgres.Reason(s.config, err))
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	return c.Exec(ctx, sql).Close()
}

func (s *schemas) add(ctx context.Context, name string) (storetest.Place, error) {
	err := s.exec(ctx, `CREATE SCHEMA "`+name+`"`)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == noRight {
		return nil, fault.Wrap(fault.Denied, err, "%s may not create a schema in the database %s. "+
			`Let it:  GRANT CREATE ON DATABASE "%[2]s" TO "%[1]s"`, s.config.User, s.config.Database)
	}
	if errors.As(err, &refused) {
		return nil, fault.Wrap(fault.Unavailable, err, "The database %s:%d/%s cannot be used: %v",
			s.config.Host, s.config.Port, s.config.Database, postgres.Reason(s.config, err))
	}
	if err != nil {
		return nil, err
	}
	u := s.address
	words := u.Query()
	words.Set("schema", name)
	u.RawQuery = words.Encode()
	return func(f storetest.Faults) (storetest.Store, error) {
		s, err := postgres.Open(context.Background(), postgres.Config{URL: u.String(),
			Readers: readers, Fault: points(f)})
		if err != nil {
			return nil, err // and not a store that is nil
		}
		return s, nil
	}, nil
}

func (s *schemas) remove(ctx context.Context, name string) error {
	return s.exec(ctx, `DROP SCHEMA IF EXISTS "`+name+`" CASCADE`)
}
