package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

var _ sqlstore.Conn = (*conn)(nil)

// statementsMax bounds the prepared statements that a connection keeps.
const statementsMax = 512

// conn is a connection with its prepared statements.
type conn struct {
	db         *sqlite3.Conn
	statements map[string]*statement
	// pages is the length of the log after the last commit.
	pages int

	begin, beginWrite, commit, rollback *statement
	save, revert, release               *statement
}

// statement is a prepared statement; as a Row it is the row it stands on.
type statement struct {
	*sqlite3.Stmt
	count int
}

// Null reports whether a column is null.
func (s *statement) Null(i int) bool { return s.ColumnType(i) == sqlite3.NULL }

// Int returns a whole number.
func (s *statement) Int(i int) int64 { return s.ColumnInt64(i) }

// Float returns a number.
func (s *statement) Float(i int) float64 { return s.ColumnFloat(i) }

// Text returns a text, nil where there is none.
func (s *statement) Text(i int) []byte { return s.ColumnRawText(i) }

// Connect opens a connection.
func (d *dialect) Connect(_ context.Context, write bool) (sqlstore.Conn, error) {
	c, err := d.connect(write)
	if err != nil {
		return nil, problem(err)
	}
	return c, nil
}

func (d *dialect) connect(write bool) (_ *conn, err error) {
	under := d.vfs
	if under == "" {
		under = filesName
		if err := registerFiles(); err != nil {
			return nil, err
		}
	}
	// What lies beside the file is as readable as the file itself.
	words := url.Values{"vfs": {under}, "modeof": {d.path}}
	if write && !d.unsafe {
		words.Set(gatherName, "1")
	}
	// SQLite takes a plus for a plus, and not for a space.
	name := url.URL{Scheme: "file", Path: d.path,
		RawQuery: strings.ReplaceAll(words.Encode(), "+", "%20")}
	db, err := sqlite3.Open(name.String())
	if err != nil {
		return nil, err
	}
	c := &conn{db: db, statements: map[string]*statement{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := db.BusyTimeout(busyTime); err != nil {
		return nil, err
	}
	for _, sql := range d.pragmas(write) {
		if err := db.Exec(sql); err != nil {
			return nil, fmt.Errorf("%s: %w", sql, err)
		}
	}
	if err := register(db); err != nil {
		return nil, err
	}
	if write {
		// The log is written into the file by Tidy, where its errors are seen.
		db.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
			c.pages = pages
			return nil
		})
	}
	return c, c.common()
}

// pragmas are what each connection begins with.
func (d *dialect) pragmas(write bool) []string {
	flush, cache := "FULL", "-8192"
	if d.unsafe {
		flush = "OFF"
	}
	if write {
		cache = "-16384"
	}
	out := []string{"PRAGMA synchronous=" + flush, "PRAGMA foreign_keys=ON",
		"PRAGMA cache_size=" + cache, "PRAGMA trusted_schema=OFF",
		"PRAGMA cell_size_check=ON"}
	if !write {
		return append(out, "PRAGMA query_only=ON")
	}
	return append(out, "PRAGMA journal_mode=WAL", "PRAGMA temp_store=MEMORY")
}

// common prepares the statements that need no looking up.
func (c *conn) common() (err error) {
	for _, s := range []struct {
		to  **statement
		sql string
	}{
		{&c.begin, "BEGIN"}, {&c.beginWrite, "BEGIN IMMEDIATE"}, {&c.commit, "COMMIT"},
		{&c.rollback, "ROLLBACK"}, {&c.save, "SAVEPOINT turn"},
		{&c.revert, "ROLLBACK TO turn"}, {&c.release, "RELEASE turn"},
	} {
		if *s.to, err = c.compile(s.sql); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) compile(sql string) (*statement, error) {
	s, tail, err := c.db.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", sql, err)
	}
	if s == nil || strings.TrimSpace(tail) != "" {
		return nil, errors.Join(fmt.Errorf("not one statement: %s", sql), s.Close())
	}
	return &statement{Stmt: s, count: s.BindCount()}, nil
}

// prepare returns the statement of a text.
func (c *conn) prepare(sql string) (*statement, error) {
	if s := c.statements[sql]; s != nil {
		return s, nil
	}
	if len(c.statements) >= statementsMax {
		for text, s := range c.statements {
			delete(c.statements, text)
			if err := s.Close(); err != nil {
				return nil, err
			}
		}
	}
	s, err := c.compile(sql)
	if err != nil {
		return nil, err
	}
	c.statements[sql] = s
	return s, nil
}

// bind gives the statement its arguments.
func (s *statement) bind(args []value.Value) error {
	if len(args) < s.count {
		return fmt.Errorf("%d arguments for %d parameters", len(args), s.count)
	}
	for i := range args[:s.count] {
		var err error
		switch v := &args[i]; v.Kind() {
		case value.Absent, value.Null:
			err = s.BindNull(i + 1)
		case value.Bool, value.Int, value.Time, value.Date, value.Duration:
			err = s.BindInt64(i+1, v.Int())
		case value.Float:
			err = s.BindFloat(i+1, v.Float())
		case value.Text, value.JSON:
			err = s.BindText(i+1, v.Text())
		default:
			err = s.BindRawText(i+1, value.AppendJSON(nil, *v))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Query runs a statement and calls each for its rows.
func (c *conn) Query(
	ctx context.Context, sql string, args []value.Value, each func(sqlstore.Row) error,
) error {
	s, err := c.prepare(sql)
	if err != nil {
		return problem(err)
	}
	if err := s.bind(args); err != nil {
		return problem(err)
	}
	c.db.SetInterrupt(ctx)
	for err == nil && s.Step() {
		err = each(s)
	}
	if err == nil {
		err = problem(s.Err())
	}
	c.db.SetInterrupt(context.Background())
	// Reset tells the error of Step again, which is known.
	_ = s.Reset()
	return err
}

// Expect asks at once.
func (c *conn) Expect(
	ctx context.Context, sql string, args []value.Value, each func(sqlstore.Row) error,
) error {
	return c.Query(ctx, sql, args, each)
}

// Exec runs a statement that returns no rows.
func (c *conn) Exec(sql string, args []value.Value) error {
	s, err := c.prepare(sql)
	if err == nil {
		err = s.bind(args)
	}
	if err == nil {
		err = s.Exec()
	}
	return problem(err)
}

// Queue runs a statement at once: there is no way to a server to be saved.
func (c *conn) Queue(sql string, args []value.Value) error { return c.Exec(sql, args) }

// Begin opens a transaction; one for writing waits for other processes.
func (c *conn) Begin(write bool) error {
	if write {
		return problem(c.beginWrite.Exec())
	}
	return problem(c.begin.Exec())
}

// Commit ends the transaction; what it wrote is then on disk.
func (c *conn) Commit() error { return problem(c.commit.Exec()) }

// Rollback ends the transaction, if one is open.
func (c *conn) Rollback() error {
	if c.db.GetAutocommit() {
		return nil
	}
	return problem(c.rollback.Exec())
}

// Save sets the savepoint.
func (c *conn) Save() error { return problem(c.save.Exec()) }

// Revert goes back to the savepoint and drops it.
func (c *conn) Revert() error {
	if err := c.revert.Exec(); err != nil {
		return problem(err)
	}
	return c.Release()
}

// Release drops the savepoint.
func (c *conn) Release() error { return problem(c.release.Exec()) }

// Open reports whether a transaction is open.
func (c *conn) Open() bool { return !c.db.GetAutocommit() }

// References says whether relations are enforced.
func (c *conn) References(enforced bool) error {
	_, err := c.db.Config(sqlite3.DBCONFIG_ENABLE_FKEY, enforced)
	return problem(err)
}

// Defer says whether relations are looked at in the end only.
func (c *conn) Defer(deferred bool) error {
	if deferred {
		return c.Exec("PRAGMA defer_foreign_keys=ON", nil)
	}
	return c.Exec("PRAGMA defer_foreign_keys=OFF", nil)
}

// Dangling returns the tables in which a relation points at nothing.
func (c *conn) Dangling(ctx context.Context) ([]string, error) {
	var out []string
	err := c.Query(ctx, "PRAGMA foreign_key_check", nil, func(r sqlstore.Row) error {
		out = append(out, string(r.Text(0)))
		return nil
	})
	return out, err
}

// text returns the first column of the first row.
func (c *conn) text(sql string) (out string, err error) {
	s, _, err := c.db.Prepare(sql)
	if err != nil {
		return "", err
	}
	if s.Step() {
		out = s.ColumnText(0)
	}
	err = s.Err()
	return out, errors.Join(err, s.Close())
}

// Close ends the connection.
func (c *conn) Close() error {
	for _, s := range slices.Collect(c.db.Stmts()) {
		// The error of a statement was told when it was run.
		_ = s.Close()
	}
	return c.db.Close()
}
