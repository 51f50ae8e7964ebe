package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// The tables as one would write them by hand, on both databases. The tail of a table is
// the database's own.
const directTables = `
CREATE TABLE warehouse (w_id INTEGER PRIMARY KEY, w_name TEXT NOT NULL,
  w_street_1 TEXT NOT NULL, w_street_2 TEXT NOT NULL, w_city TEXT NOT NULL,
  w_state TEXT NOT NULL, w_zip TEXT NOT NULL, w_tax INTEGER NOT NULL,
  w_ytd BIGINT NOT NULL)%[1]s;
CREATE TABLE district (d_w_id INTEGER NOT NULL, d_id INTEGER NOT NULL, d_name TEXT NOT NULL,
  d_street_1 TEXT NOT NULL, d_street_2 TEXT NOT NULL, d_city TEXT NOT NULL,
  d_state TEXT NOT NULL, d_zip TEXT NOT NULL, d_tax INTEGER NOT NULL,
  d_ytd BIGINT NOT NULL, d_next_o_id INTEGER NOT NULL, PRIMARY KEY (d_w_id, d_id))%[1]s;
CREATE TABLE customer (c_w_id INTEGER NOT NULL, c_d_id INTEGER NOT NULL,
  c_id INTEGER NOT NULL, c_first TEXT NOT NULL, c_middle TEXT NOT NULL, c_last TEXT NOT NULL,
  c_street_1 TEXT NOT NULL, c_street_2 TEXT NOT NULL, c_city TEXT NOT NULL,
  c_state TEXT NOT NULL, c_zip TEXT NOT NULL, c_phone TEXT NOT NULL, c_since BIGINT NOT NULL,
  c_credit TEXT NOT NULL, c_credit_lim BIGINT NOT NULL, c_discount INTEGER NOT NULL,
  c_balance BIGINT NOT NULL, c_ytd_payment BIGINT NOT NULL, c_payment_cnt INTEGER NOT NULL,
  c_delivery_cnt INTEGER NOT NULL, c_data TEXT NOT NULL,
  PRIMARY KEY (c_w_id, c_d_id, c_id))%[1]s;
CREATE INDEX customer_by_name ON customer (c_w_id, c_d_id, c_last, c_first);
CREATE TABLE history (h_c_w_id INTEGER NOT NULL, h_c_d_id INTEGER NOT NULL,
  h_c_id INTEGER NOT NULL, h_w_id INTEGER NOT NULL, h_d_id INTEGER NOT NULL,
  h_date BIGINT NOT NULL, h_amount BIGINT NOT NULL, h_data TEXT NOT NULL);
CREATE TABLE item (i_id INTEGER PRIMARY KEY, i_im_id INTEGER NOT NULL,
  i_price INTEGER NOT NULL, i_name TEXT NOT NULL, i_data TEXT NOT NULL)%[1]s;
CREATE TABLE stock (s_w_id INTEGER NOT NULL, s_i_id INTEGER NOT NULL,
  s_quantity INTEGER NOT NULL, s_ytd BIGINT NOT NULL, s_order_cnt INTEGER NOT NULL,
  s_remote_cnt INTEGER NOT NULL, s_data TEXT NOT NULL,
  s_dist_01 TEXT NOT NULL, s_dist_02 TEXT NOT NULL, s_dist_03 TEXT NOT NULL,
  s_dist_04 TEXT NOT NULL, s_dist_05 TEXT NOT NULL, s_dist_06 TEXT NOT NULL,
  s_dist_07 TEXT NOT NULL, s_dist_08 TEXT NOT NULL, s_dist_09 TEXT NOT NULL,
  s_dist_10 TEXT NOT NULL, PRIMARY KEY (s_w_id, s_i_id))%[1]s;
CREATE TABLE orders (o_w_id INTEGER NOT NULL, o_d_id INTEGER NOT NULL, o_id INTEGER NOT NULL,
  o_c_id INTEGER NOT NULL, o_entry_d BIGINT NOT NULL, o_carrier_id INTEGER,
  o_ol_cnt INTEGER NOT NULL, o_all_local INTEGER NOT NULL,
  PRIMARY KEY (o_w_id, o_d_id, o_id))%[1]s;
CREATE INDEX orders_by_customer ON orders (o_w_id, o_d_id, o_c_id, o_id);
CREATE TABLE new_order (no_w_id INTEGER NOT NULL, no_d_id INTEGER NOT NULL,
  no_o_id INTEGER NOT NULL, PRIMARY KEY (no_w_id, no_d_id, no_o_id))%[1]s;
CREATE TABLE order_line (ol_w_id INTEGER NOT NULL, ol_d_id INTEGER NOT NULL,
  ol_o_id INTEGER NOT NULL, ol_number INTEGER NOT NULL, ol_i_id INTEGER NOT NULL,
  ol_supply_w_id INTEGER NOT NULL, ol_delivery_d BIGINT, ol_quantity INTEGER NOT NULL,
  ol_amount BIGINT NOT NULL, ol_dist_info TEXT NOT NULL,
  PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number))%[1]s;
`

// lite is a connection to a SQLite file with its prepared statements. One goroutine at
// a time uses it.
type lite struct {
	*sqlite3.Conn
	stmts map[string]*sqlite3.Stmt
}

func openLite(path string) (*lite, error) {
	c, err := sqlite3.Open("file:" + path)
	if err != nil {
		return nil, err
	}
	err = c.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
		PRAGMA cache_size = -65536; PRAGMA busy_timeout = 5000`)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &lite{Conn: c, stmts: map[string]*sqlite3.Stmt{}}, nil
}

// run executes a statement, prepared once, and calls each for its rows.
func (l *lite) run(sql string, each func(*sqlite3.Stmt), args ...any) error {
	s := l.stmts[sql]
	if s == nil {
		var err error
		if s, _, err = l.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return fmt.Errorf("%w in %s", err, sql)
		}
		l.stmts[sql] = s
	}
	for i, arg := range args {
		var err error
		switch a := arg.(type) {
		case string:
			err = s.BindText(i+1, a)
		case int:
			err = s.BindInt64(i+1, int64(a))
		case nil:
			err = s.BindNull(i + 1)
		default:
			err = fmt.Errorf("cannot bind a %T", arg)
		}
		if err != nil {
			return err
		}
	}
	for s.Step() {
		if each != nil {
			each(s)
		}
	}
	return s.Reset()
}

// insert writes a row of a table with all its columns.
func (l *lite) insert(table string, values ...any) error {
	return l.run("INSERT INTO "+table+" VALUES (?"+strings.Repeat(", ?", len(values)-1)+")",
		nil, values...)
}

// loadLite makes the database of the direct driver.
func loadLite(path string, s scale, seed uint64) error {
	l, err := openLite(path)
	if err != nil {
		return err
	}
	err = errors.Join(
		l.Exec(liteTables()), l.Exec("BEGIN"))
	if err == nil {
		err = generate(s, seed, &rows{insert: l.insert})
	}
	if err == nil {
		err = l.Exec("COMMIT; ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return errors.Join(err, l.Close())
}

// directLite drives SQLite in this process: one connection writes, one transaction and
// one flushed commit at a time, and each terminal has a connection for its reads.
type directLite struct {
	path   string
	mu     sync.Mutex
	writer *lite
}

func openDirectLite(path string) (*directLite, error) {
	w, err := openLite(path)
	return &directLite{path: path, writer: w}, err
}

func (d *directLite) open(context.Context, int) (session, error) {
	r, err := openLite(d.path)
	return &liteSession{d, r}, err
}

func (d *directLite) close() error { return d.writer.Close() }

type liteSession struct {
	direct *directLite
	reader *lite
}

func (s *liteSession) close() error { return s.reader.Close() }

// errVoid is what a New-Order finds that names an item that is not there.
var errVoid = errors.New("no such item")

func (s *liteSession) do(_ context.Context, c *call) (a answer, err error) {
	switch c.verb {
	case newOrder:
		err = s.write(func(l *lite) error { return l.newOrder(c) })
		if errors.Is(err, errVoid) {
			return answer{refused: true}, nil
		}
	case payment:
		err = s.write(func(l *lite) error { return l.payment(c) })
	case delivery:
		err = s.write(func(l *lite) error {
			a.delivered, err = l.delivery(c)
			return err
		})
	case orderStatus:
		err = s.read(func(l *lite) error { return l.orderStatus(c) })
	case stockLevel:
		err = s.read(func(l *lite) error { return l.stockLevel(c) })
	}
	return a, err
}

func (s *liteSession) write(work func(*lite) error) error {
	s.direct.mu.Lock()
	defer s.direct.mu.Unlock()
	return s.direct.writer.within("BEGIN IMMEDIATE", work)
}

func (s *liteSession) read(work func(*lite) error) error { return s.reader.within("BEGIN", work) }

// within runs work in a transaction.
func (l *lite) within(begin string, work func(*lite) error) error {
	if err := l.run(begin, nil); err != nil {
		return err
	}
	err := work(l)
	if err == nil {
		if err = l.run("COMMIT", nil); err == nil {
			return nil
		}
	}
	return errors.Join(err, l.run("ROLLBACK", nil))
}

func nowMilli() int { return int(time.Now().UnixMilli()) }

// liteTables are the tables in SQLite's words.
func liteTables() string {
	return strings.ReplaceAll(fmt.Sprintf(directTables, " STRICT, WITHOUT ROWID"), "BIGINT",
		"INTEGER")
}

// Close ends the connection and its statements.
func (l *lite) Close() error {
	var all []error
	for _, s := range l.stmts {
		all = append(all, s.Close())
	}
	return errors.Join(append(all, l.Conn.Close())...)
}
