// Package postgres keeps the contract of package store in a PostgreSQL database, with
// any number of Galley processes on it. It connects, speaks the wire protocol so that
// what belongs together goes in one round trip, and gives sqlstore its connections and
// dialect. It needs no extension, no superuser and no advisory lock; everything lies in
// one schema. How records and journal are kept it leaves to sqlstore.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/store/sqlstore"
)

// Config says where the database is.
type Config struct {
	// URL is the address, as psql takes it: postgres://user:password@host:port/database.
	// Several hosts are parted by commas; the one that takes writes is used. A word
	// "schema" after the "?" names the schema in which everything is kept; it is made
	// if it is missing. Without one it is public.
	URL string
	// Readers bounds the connections for reading; 0 means four for each core, at
	// least 8 and at most 32. One more is for writing.
	Readers int
	// Fault, if set, lets the store fail at its points. It is for tests.
	Fault func(at sqlstore.Point) error
}

// Store is a sqlstore.Store over PostgreSQL.
type Store struct {
	*sqlstore.Store
	bus bus
}

const (
	// schemaDefault is the schema of a URL that names none.
	schemaDefault = "public"
	// versionMin is the oldest release that is taken.
	versionMin = 13
	// openTries bounds how often the opening is tried when other processes open the
	// same database at the same time, and one takes what the other is about to make.
	openTries = 8
	// connectTime bounds how long a connection may take to be made.
	connectTime = 10 * time.Second
)

// Open connects to the database and makes what the store needs where it is missing.
// The error names the host and never the password.
func Open(ctx context.Context, c Config) (*Store, error) {
	d, err := newDialect(c.URL)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, d, c)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", d.name(), d.refused(err))
	}
	return s, nil
}

func open(ctx context.Context, d *dialect, c Config) (*Store, error) {
	n := c.Readers
	if n == 0 {
		n = min(max(4*runtime.NumCPU(), 8), 32)
	}
	for try := 1; ; try++ {
		s, err := openOnce(ctx, d, n, c.Fault)
		if err == nil {
			return &Store{Store: s, bus: bus{dialect: d, secret: s.BusSecret}}, nil
		}
		var p *sqlstore.Problem
		if try == openTries || ctx.Err() != nil || !errors.As(err, &p) || !raced(p.Err) {
			return nil, err
		}
	}
}

func openOnce(
	ctx context.Context, d *dialect, readers int, fault func(sqlstore.Point) error,
) (*sqlstore.Store, error) {
	if err := d.apart(ctx, d.prepare); err != nil {
		return nil, err
	}
	s, err := sqlstore.Open(ctx, sqlstore.Config{Dialect: d, Readers: readers, Fault: fault})
	if err != nil {
		return nil, err
	}
	// Not before: those of a later release must stay as they are.
	if err := d.apart(ctx, d.functions); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// apart calls fn with a connection of its own.
func (d *dialect) apart(
	ctx context.Context, fn func(context.Context, *conn) error,
) (err error) {
	c := newConn(d, true)
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.connect(ctx); err != nil {
		return err
	}
	return fn(ctx, c)
}

// Check returns an error if a URL cannot be that of a database. It asks no server, and the
// error holds no password.
func Check(address string) error {
	_, err := newDialect(address)
	return err
}

// newDialect reads a URL.
func newDialect(address string) (*dialect, error) {
	rest, schema, err := cutSchema(address)
	if err != nil {
		return nil, err
	}
	cfg, err := pgconn.ParseConfig(rest)
	if err != nil {
		// The error of pgconn hides the password.
		return nil, fmt.Errorf("the database's address: %w", err)
	}
	if strings.Contains(cfg.Host, "@") {
		return nil, errors.New("the database's address: an @ in a password is written %40")
	}
	if path := cfg.RuntimeParams["search_path"]; path != "" && schema == "" {
		schema = strings.Trim(path, `"`)
	}
	delete(cfg.RuntimeParams, "search_path")
	if schema == "" {
		schema = schemaDefault
	}
	if len(schema) > nameMax || strings.HasPrefix(schema, "pg_") ||
		strings.ContainsAny(schema, ",\x00") {
		return nil, fmt.Errorf("the database's address: %q is no name for a schema", schema)
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "galley"
	}
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	// Texts in statements are written so, whatever the role or the database has for others.
	cfg.RuntimeParams["standard_conforming_strings"] = "on"
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTime
	}
	if len(cfg.Fallbacks) > 0 && cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return &dialect{config: cfg, schema: schema, node: string(ident.NewCall())}, nil
}

// cutSchema takes the word that is ours out of a URL.
func cutSchema(address string) (rest, schema string, err error) {
	scheme, _, _ := strings.Cut(address, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return "", "", errors.New("the database's address does not begin with postgres://")
	}
	before, words, found := strings.Cut(address, "?")
	if !found {
		return address, "", nil
	}
	values, err := url.ParseQuery(words)
	if err != nil {
		return "", "", errors.New("the database's address: what follows the \"?\" cannot be read")
	}
	schema = values.Get("schema")
	values.Del("schema")
	return before + "?" + values.Encode(), schema, nil
}

// name is the database as errors show it.
func (d *dialect) name() string {
	return d.config.Host + ":" + strconv.Itoa(int(d.config.Port)) + "/" + d.config.Database
}

// prepare looks at the server, and makes the schema where it is missing.
func (d *dialect) prepare(ctx context.Context, c *conn) error {
	if err := c.link.supported(); err != nil {
		return err
	}
	found, err := c.one(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname = "+
		quoteText(d.schema))
	if err != nil || found != "0" {
		return err
	}
	return c.Exec("CREATE SCHEMA IF NOT EXISTS "+d.Quote(d.schema), nil)
}
