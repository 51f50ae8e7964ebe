package main

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

const schema = `
CREATE TABLE users (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  email TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
  wallet INTEGER NOT NULL CHECK (wallet >= 0)
) STRICT;
CREATE TABLE sessions (
  hash BLOB PRIMARY KEY, user TEXT NOT NULL REFERENCES users (id), expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE products (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  name TEXT NOT NULL, about TEXT, price INTEGER NOT NULL, cost INTEGER,
  stock INTEGER NOT NULL CHECK (stock >= 0), listed INTEGER NOT NULL
) STRICT;
CREATE INDEX products_by_price ON products (listed, price DESC, id);
CREATE TABLE orders (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  customer TEXT NOT NULL REFERENCES users (id), status TEXT NOT NULL, total INTEGER NOT NULL
) STRICT;
CREATE INDEX orders_by_customer ON orders (customer, created DESC);
CREATE TABLE order_items (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  "order" TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
  product TEXT NOT NULL REFERENCES products (id),
  quantity INTEGER NOT NULL, price INTEGER NOT NULL
) STRICT;
CREATE INDEX order_items_by_order ON order_items ("order");
CREATE TABLE notes (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  author TEXT NOT NULL REFERENCES users (id), title TEXT NOT NULL, body TEXT
) STRICT;
`

// database is one connection with its prepared statements. One goroutine at a time
// uses it.
type database struct {
	*sqlite3.Conn
	stmts map[string]*sqlite3.Stmt
}

func open(path string) (*database, error) {
	c, err := sqlite3.Open("file:" + path)
	if err != nil {
		return nil, err
	}
	// FULL stands here for every connection: the driver would flush commits only at
	// checkpoints.
	err = c.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
		PRAGMA cache_size = -65536; PRAGMA busy_timeout = 5000`)
	if err != nil {
		return nil, err
	}
	return &database{Conn: c, stmts: map[string]*sqlite3.Stmt{}}, nil
}

// prepared returns the statement, made once. Whoever steps it resets it.
func (d *database) prepared(sql string) (*sqlite3.Stmt, error) {
	if s := d.stmts[sql]; s != nil {
		return s, nil
	}
	s, _, err := d.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, sql)
	}
	d.stmts[sql] = s
	return s, nil
}

// exec runs a statement that gives no rows. Arguments are string, int64 or []byte.
func (d *database) exec(sql string, args ...any) error {
	s, err := d.bound(sql, args)
	if err != nil {
		return err
	}
	s.Step()
	return s.Reset()
}

// one runs a statement that gives a row or none; each is called with the row.
func (d *database) one(sql string, each func(*sqlite3.Stmt), args ...any) (bool, error) {
	s, err := d.bound(sql, args)
	if err != nil {
		return false, err
	}
	found := s.Step()
	if found {
		each(s)
	}
	return found, s.Reset()
}

// all runs a statement and calls each with every row.
func (d *database) all(sql string, each func(*sqlite3.Stmt), args ...any) error {
	s, err := d.bound(sql, args)
	if err != nil {
		return err
	}
	for s.Step() {
		each(s)
	}
	return s.Reset()
}

func (d *database) bound(sql string, args []any) (*sqlite3.Stmt, error) {
	s, err := d.prepared(sql)
	if err != nil {
		return nil, err
	}
	for i, arg := range args {
		switch a := arg.(type) {
		case string:
			err = s.BindText(i+1, a)
		case int64:
			err = s.BindInt64(i+1, a)
		case []byte:
			err = s.BindBlob(i+1, a)
		case nil:
			err = s.BindNull(i + 1)
		default:
			err = fmt.Errorf("cannot bind a %T", arg)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readers lends connections for reading.
type readers chan *database

func openReaders(path string, n int) (readers, error) {
	pool := make(readers, n)
	for range n {
		d, err := open(path)
		if err != nil {
			return nil, err
		}
		pool <- d
	}
	return pool, nil
}
