package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

var _ sqlstore.Conn = (*conn)(nil)

const (
	// statementsMax bounds the prepared statements that a connection keeps.
	statementsMax = 512
	// queueMax and queueBytes bound what is queued before it is sent, so that neither
	// side waits for the other to read.
	queueMax   = 500
	queueBytes = 256 << 10
	// bufferMax bounds the buffers that are kept for the next time.
	bufferMax = 1 << 20
	// restTime is how long a connection rests, at least, before the server hears that
	// its last transaction is over.
	restTime = 20 * time.Millisecond
)

// The states of a conn's transaction. One that is lost was given up by the server, or
// by us because of an error, and waits for Rollback or the next Begin.
const (
	txNone = iota
	txOpen
	txLost
)

// conn is a connection as sqlstore sees it. What needs no answer waits in ops and goes
// with the next statement that does. If the server is found to be gone before anything
// of a transaction was done, conn connects anew and does it there.
type conn struct {
	d     *dialect
	write bool
	// link is nil while there is no connection.
	link       *link
	statements map[string]*statement
	epoch      uint64

	ops  []op
	args []byte
	tx   uint8
	// sent says that something of the transaction was sent.
	sent bool
	// saved says that the savepoint is set; if it waits still, savedAt is its op.
	saved   bool
	savedAt int
	// recovers says that the savepoint of a statement that failed must be gone back to.
	recovers bool
	// stale says that what is prepared does not hold any more.
	stale bool
	// reshaping lifts the bound of time, for changes of the schema.
	reshaping bool

	// sending is what once sends, and whose answers it reads.
	sending []op
	named   int
	row     row

	// mu guards the link while it rests, and what follows. owes says that the server has
	// a transaction open that is over; uses counts them, and seen is the count when the
	// timer was last looked at, if it is armed.
	mu         sync.Mutex
	owes       bool
	armed      bool
	uses, seen uint64
	timer      *time.Timer
}

// statement is a text that is sent; where statements last, it is prepared.
type statement struct {
	sql  string
	name string
	// used says which parameters stand in the text.
	used []bool
	// on is the link on which it is prepared.
	on *link
}

// op is a statement with its arguments, which stand in conn.args.
type op struct {
	s        *statement
	from, to int
	// each gets the rows.
	each func(sqlstore.Row) error
	// guarded says that a savepoint of its own stands before the op.
	guarded bool
	// begins and ends say that the op is the beginning, or the commit.
	begins, ends bool
	// parses says that the statement is prepared with it.
	parses bool
}

// The texts of what is said again and again.
const (
	sqlBeginRead  = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	sqlBeginWrite = "BEGIN ISOLATION LEVEL READ COMMITTED"
	sqlCommit     = "COMMIT"
	sqlRollback   = "ROLLBACK"
	sqlSave       = "SAVEPOINT turn"
	sqlRevert     = "ROLLBACK TO SAVEPOINT turn"
	sqlRelease    = "RELEASE SAVEPOINT turn"
	sqlGuard      = "SAVEPOINT one"
	sqlUnguard    = "RELEASE SAVEPOINT one"
	sqlRecover    = "ROLLBACK TO SAVEPOINT one"
	sqlForget     = "DEALLOCATE ALL"
)

func newConn(d *dialect, write bool) *conn {
	return &conn{d: d, write: write, statements: map[string]*statement{}}
}

// Connect opens a connection.
func (d *dialect) Connect(ctx context.Context, write bool) (sqlstore.Conn, error) {
	c := newConn(d, write)
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// connect makes the link.
func (c *conn) connect(ctx context.Context) error {
	epoch := c.d.epoch.Load()
	l, err := c.d.dial(ctx, c.write)
	if err != nil {
		return gone(err)
	}
	c.link, c.epoch = l, epoch
	return nil
}

// prepare returns the statement of a text.
func (c *conn) prepare(sql string) *statement {
	s := c.statements[sql]
	if s == nil {
		c.named++
		s = &statement{sql: sql, name: "s" + strconv.Itoa(c.named), used: parameters(sql)}
		c.statements[sql] = s
	}
	return s
}

// parameters finds $1, $2, … in a text, outside of what is quoted.
func parameters(sql string) []bool {
	var used []bool
	for i := 0; i < len(sql); i++ {
		switch ch := sql[i]; {
		case ch == '\'' || ch == '"':
			for i++; i < len(sql) && sql[i] != ch; i++ {
			}
		case ch == '$':
			n := 0
			for ; i+1 < len(sql) && sql[i+1] >= '0' && sql[i+1] <= '9'; i++ {
				n = n*10 + int(sql[i+1]-'0')
			}
			for len(used) < n {
				used = append(used, false)
			}
			if n > 0 {
				used[n-1] = true
			}
		}
	}
	return used
}

// push lets a statement wait. It keeps nothing of args.
func (c *conn) push(sql string, args []value.Value) (*op, error) {
	s := c.prepare(sql)
	if len(args) < len(s.used) {
		return nil, problem(fmt.Errorf("%d arguments for %d parameters", len(args), len(s.used)))
	}
	from := len(c.args)
	c.args = appendArgs(c.args, args[:len(s.used)])
	c.ops = append(c.ops, op{s: s, from: from, to: len(c.args)})
	return &c.ops[len(c.ops)-1], nil
}

// say lets a statement without parameters wait.
func (c *conn) say(sql string) *op {
	from := len(c.args)
	c.args = appendArgs(c.args, nil)
	c.ops = append(c.ops, op{s: c.prepare(sql), from: from, to: len(c.args)})
	return &c.ops[len(c.ops)-1]
}

// clear forgets what waits.
func (c *conn) clear() { c.ops, c.args = c.ops[:0], c.args[:0] }

// Begin opens a transaction; the server hears of it with the first statement. One for
// writing needs no more than READ COMMITTED, in which each statement sees what was
// committed before it: who writes holds the head's row, so that writers follow one
// another whatever the level, and a level above would only add conflicts.
func (c *conn) Begin(write bool) error {
	if c.tx == txOpen {
		return problem(errors.New("a transaction is open already"))
	}
	c.clear()
	c.tx, c.sent, c.saved, c.recovers = txOpen, false, false, false
	begin := sqlBeginRead
	if write {
		begin = sqlBeginWrite
	}
	c.say(begin).begins = true
	return nil
}

// Open reports whether a transaction is open.
func (c *conn) Open() bool { return c.tx == txOpen }

// Query runs a statement and calls each for its rows.
func (c *conn) Query(
	ctx context.Context, sql string, args []value.Value, each func(sqlstore.Row) error,
) error {
	if ctx.Err() != nil {
		return &sqlstore.Problem{Class: sqlstore.Interrupted, Err: ctx.Err()}
	}
	return c.ask(ctx, sql, args, each, c.saved)
}

// Expect lets a query wait for the next statement that needs an answer.
func (c *conn) Expect(
	_ context.Context, sql string, args []value.Value, each func(sqlstore.Row) error,
) error {
	if c.tx != txOpen {
		return errLost()
	}
	o, err := c.push(sql, args)
	if err != nil {
		return err
	}
	o.each = each
	return nil
}

// Exec runs a statement that returns no rows.
func (c *conn) Exec(sql string, args []value.Value) error {
	return c.ask(context.Background(), sql, args, nil, c.tx == txOpen && !c.reshaping)
}

// ask sends what waits with one statement more, and reads the answers. A guarded one
// takes back itself alone if it fails.
func (c *conn) ask(
	ctx context.Context, sql string, args []value.Value, each func(sqlstore.Row) error,
	guarded bool,
) error {
	if c.tx == txLost {
		return errLost()
	}
	if guarded {
		c.say(sqlGuard)
	}
	o, err := c.push(sql, args)
	if err != nil {
		c.clear()
		return errors.Join(err, c.give(txLost))
	}
	o.each, o.guarded = each, guarded
	if guarded {
		c.say(sqlUnguard)
	}
	return c.flush(ctx)
}

// Queue lets a statement wait for the next one that needs an answer.
func (c *conn) Queue(sql string, args []value.Value) error {
	if c.tx != txOpen {
		return errLost()
	}
	if _, err := c.push(sql, args); err != nil {
		return err
	}
	if len(c.ops) >= queueMax || len(c.args) >= queueBytes {
		return c.flush(context.Background())
	}
	return nil
}

// Commit ends the transaction; what it wrote is then on the server's disk.
func (c *conn) Commit() error {
	switch {
	case c.tx != txOpen:
		return errLost()
	case !c.sent && len(c.ops) == 1: // nothing but the beginning
		return c.Rollback()
	}
	c.say(sqlCommit).ends = true
	err := c.flush(context.Background())
	if err == nil {
		c.tx = txNone
	}
	return err
}

// Rollback ends the transaction, if one is open. Nobody waits for the answer: it is
// read with the next.
func (c *conn) Rollback() error { return c.give(txNone) }

// give gives the transaction up. The server hears of the end of one that only read with
// what is asked next, or by settle.
func (c *conn) give(state uint8) error {
	c.clear()
	c.recovers = false
	open := c.tx == txOpen && c.sent
	c.tx, c.sent, c.saved = state, false, false
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.link
	if !open || l == nil || l.status == 'I' && l.unread == 0 {
		return nil
	}
	if !c.write && !l.pooled {
		c.owe()
		return nil
	}
	if !c.rollback() {
		c.drop()
	}
	return nil
}

// rollback sends the end of the transaction and does not wait for the answer. It reports
// whether that could be sent.
func (c *conn) rollback() bool {
	c.link.out = c.link.out[:0]
	c.apart(sqlRollback)
	return c.link.flush(answerTime) == nil
}

// owe notes that the server has a transaction open that is over.
func (c *conn) owe() {
	c.owes = true
	c.uses++
	if c.armed {
		return
	}
	c.armed, c.seen = true, c.uses
	if c.timer == nil {
		c.timer = time.AfterFunc(restTime, c.settle)
	} else {
		c.timer.Reset(restTime)
	}
}

// settle ends a transaction that is over if the connection rests: it must not keep the
// server from tidying up, nor others from changing tables.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.link == nil || !c.owes:
		c.armed = false
	case c.uses != c.seen:
		c.seen = c.uses
		c.timer.Reset(restTime)
	default:
		c.armed, c.owes = false, false
		// If the connection is lost, who uses it next finds that out.
		_ = c.rollback()
	}
}

// Save sets the savepoint.
func (c *conn) Save() error {
	if c.tx != txOpen {
		return errLost()
	}
	c.saved, c.savedAt = true, len(c.ops)
	c.say(sqlSave)
	return nil
}

// Revert goes back to the savepoint and drops it. What waits since then is forgotten.
func (c *conn) Revert() error {
	if c.tx != txOpen || !c.saved {
		return errLost()
	}
	c.saved = false
	if c.savedAt >= 0 {
		c.cut(c.savedAt)
		return nil
	}
	c.clear()
	c.recovers = false
	c.say(sqlRevert)
	c.say(sqlRelease)
	return nil
}

// cut forgets what waits from the n-th op on.
func (c *conn) cut(n int) {
	c.args = c.args[:c.ops[n].from]
	c.ops = c.ops[:n]
}

// Release drops the savepoint.
func (c *conn) Release() error {
	if c.tx != txOpen || !c.saved {
		return errLost()
	}
	c.saved = false
	if c.savedAt >= 0 && c.savedAt == len(c.ops)-1 {
		c.cut(c.savedAt)
		return nil
	}
	c.say(sqlRelease)
	return nil
}

// References says whether relations are enforced. Here they are constraints that a
// migration takes away and makes again; what is said is that the shapes of tables
// change, which takes its time, and after which no prepared statement holds.
func (c *conn) References(enforced bool) error {
	c.reshaping = !enforced
	if enforced {
		c.d.epoch.Add(1)
	}
	return nil
}

// Defer says whether relations are looked at in the end only.
func (c *conn) Defer(deferred bool) error {
	if deferred {
		return c.Queue("SET CONSTRAINTS ALL DEFERRED", nil)
	}
	return c.Exec("SET CONSTRAINTS ALL IMMEDIATE", nil)
}

// Dangling returns nothing: relations are constraints, which are asked when they are
// made.
func (c *conn) Dangling(context.Context) ([]string, error) { return nil, nil }

// one returns the first column of the first row, as a text.
func (c *conn) one(ctx context.Context, sql string) (out string, err error) {
	err = c.Query(ctx, sql, nil, func(r sqlstore.Row) error {
		out = string(r.Text(0))
		return nil
	})
	return out, err
}

// Close ends the connection; the server rolls back what is open.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return nil
	}
	l := c.link
	c.link = nil
	// A connection that is closed already is closed.
	_ = l.close()
	return nil
}

// drop throws the link away. A transaction that it held is lost.
func (c *conn) drop() {
	if c.link != nil {
		// It is broken; what closing it says does not matter.
		_ = c.link.net.Close()
		c.link = nil
		c.owes = false
	}
	if c.tx == txOpen && c.sent {
		c.tx = txLost
	}
}

// errLost is the problem of who goes on after the end of a transaction.
func errLost() error {
	return &sqlstore.Problem{Class: sqlstore.Gone,
		Err: errors.New("the transaction is not open any more")}
}
