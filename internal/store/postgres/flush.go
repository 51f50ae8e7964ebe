package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/galleybackend/galley/internal/store/sqlstore"
)

// outcome is how a flush went.
type outcome struct {
	// err is nil if all went well.
	err error
	// mine is the error of each; the server knows nothing of it.
	mine error
	// lost says that the connection is gone.
	lost bool
	// stale says that the server does not know, or does not take, a statement that
	// was prepared.
	stale bool
	// guarded says that the statement failed that has a savepoint of its own.
	guarded bool
	// cancelled says that the server broke the statement off.
	cancelled bool
	// rows says that rows were handed out.
	rows bool
}

// flush sends what waits and reads its answers. Where nothing of the transaction was
// sent before, and the commit is not in it, all of it is done again if the connection
// was lost while nobody looked, or if the server has forgotten what was prepared.
func (c *conn) flush(ctx context.Context) error {
	defer c.clear()
	had := c.link != nil
	f := c.once(ctx)
	if f.err != nil && c.repeats() && !f.rows && (f.lost && had || f.stale) && ctx.Err() == nil {
		f = c.once(ctx)
	}
	c.sent = c.sent || c.tx == txOpen
	c.savedAt = -1
	switch {
	case f.err == nil:
		return f.mine
	case c.tx != txOpen:
	case f.lost:
		c.tx = txLost
	case f.guarded:
		c.clear()
		c.recovers = true
	default:
		err := errors.Join(f.err, c.give(txLost))
		if f.mine != nil {
			return f.mine // what came before it did not please the asker
		}
		return err
	}
	return f.err
}

// repeats reports whether what waits may be done a second time.
func (c *conn) repeats() bool {
	if c.sent || c.tx == txNone && c.ops[len(c.ops)-1].each == nil {
		return false
	}
	return !c.ops[len(c.ops)-1].ends
}

// once sends what waits on the link, which it makes if there is none.
func (c *conn) once(ctx context.Context) outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		if err := c.connect(ctx); err != nil {
			return outcome{err: err, lost: true}
		}
	}
	l := c.link
	c.compose(c.ops)
	limit := answerTime
	switch {
	case c.reshaping:
		limit = 0
	case c.write:
		limit = writeTime
	}
	err := l.flush(limit)
	if err == nil {
		err = l.catchUp()
	}
	var f outcome
	if err == nil {
		done := l.watch(ctx)
		f = c.answers(ctx)
		if asked := done(); asked && !f.cancelled && !f.lost {
			f = outcome{lost: true,
				err: &sqlstore.Problem{Class: sqlstore.Interrupted, Err: ctx.Err()}}
		}
	} else {
		f = outcome{err: gone(err), lost: true}
	}
	if f.lost {
		c.drop()
	}
	return f
}

// compose writes ops, and what must stand before and behind them, into the link's
// buffer, and notes in sending whose answers will come.
func (c *conn) compose(ops []op) {
	l := c.link
	l.out, c.sending = l.out[:0], c.sending[:0]
	if c.recovers {
		c.recovers = false
		c.add(sqlRecover)
		c.add(sqlUnguard)
	}
	old := len(c.statements) > statementsMax || c.epoch != c.d.epoch.Load() || c.stale
	if c.owes && !old {
		c.add(sqlRollback)
	}
	if !c.sent {
		c.renew(old, c.owes && old)
	}
	c.owes = false
	bare := l.pooled && c.tx == txNone
	if bare {
		c.add(sqlBeginWrite)
		c.add(c.d.settings(c.write, true))
	}
	for _, o := range ops {
		c.addOp(o, c.args[o.from:o.to])
		if l.pooled && o.begins {
			c.add(c.d.settings(c.write, true))
		}
	}
	if bare {
		c.add(sqlCommit)
	}
	l.out = appendSync(l.out)
}

// renew has the server forget the prepared statements, if they are old: there are too
// many, or the tables have changed. It goes ahead of the transaction, of which it must
// not be a part, and behind the one that was open, if there is one.
func (c *conn) renew(old, open bool) {
	l := c.link
	if l.broken || open {
		l.broken = false
		c.apart(sqlRollback)
	}
	if !old {
		return
	}
	c.epoch, c.stale = c.d.epoch.Load(), false
	if len(c.statements) > statementsMax {
		clear(c.statements)
	}
	if l.pooled {
		return
	}
	c.apart(sqlForget)
	c.forget()
}

// apart sends a statement for itself, whose answer nobody waits for.
func (c *conn) apart(sql string) {
	l := c.link
	l.out = appendParse(l.out, "", sql, nil)
	l.out = appendSync(appendExecute(appendBind(l.out, "", nothing)))
	l.unread++
}

// forget takes note that nothing is prepared any more.
func (c *conn) forget() {
	for _, s := range c.statements {
		s.on = nil
	}
	for i := range c.ops {
		c.ops[i].s.on = nil
	}
}

// nothing are the arguments of a statement without parameters.
var nothing = appendArgs(nil, nil)

// add adds a statement without parameters to what is sent.
func (c *conn) add(sql string) { c.addOp(op{s: c.prepare(sql)}, nothing) }

func (c *conn) addOp(o op, args []byte) {
	l, s := c.link, o.s
	name := s.name
	if l.pooled || s.sql == sqlForget {
		name = ""
	}
	if name == "" || s.on != l {
		l.out = appendParse(l.out, name, s.sql, s.used)
		if o.parses = name != ""; o.parses {
			s.on = l
		}
	}
	l.out = appendExecute(appendBind(l.out, name, args))
	c.sending = append(c.sending, o)
}

// skippedMax bounds the rows that are read though nobody wants them any more.
const skippedMax = 1000

// answers reads the answers to what was sent. Rows may come as long as they will, but
// not the next one.
func (c *conn) answers(ctx context.Context) (f outcome) {
	l, at, parsed, unsure := c.link, 0, -1, false
	begun, skipped := time.Now(), 0
	var failed *pgconn.PgError
	for {
		m, err := l.in.Receive()
		if err != nil {
			if failed != nil {
				err = failed
			}
			f.err, f.lost = gone(err), true
			return f
		}
		switch m := m.(type) {
		case *pgproto3.ParseComplete:
			parsed = at
		case *pgproto3.DataRow:
			f.rows = true
			switch o := &c.sending[at]; {
			case f.mine != nil:
				if skipped++; skipped > skippedMax && !c.write {
					f.lost = true // a new connection is quicker than the rest
					return f
				}
			case o.each != nil && failed == nil:
				c.row.values = m.Values
				f.mine = o.each(&c.row)
			}
			if now := time.Now(); now.Sub(begun) > answerTime/4 && ctx.Err() == nil {
				begun = now
				// If it fails, so does the next Receive.
				_ = l.net.SetReadDeadline(now.Add(answerTime))
			}
		case *pgproto3.CommandComplete:
			if c.sending[at].ends && string(m.CommandTag) != sqlCommit {
				f.err = problem(fmt.Errorf("the commit was answered with %s", m.CommandTag))
			}
			at++
		case *pgproto3.NoticeResponse:
			// A commit that does not wait for its standby to the end says so here.
			unsure = unsure || at < len(c.sending) && c.sending[at].ends && m.Code == "01000"
		case *pgproto3.ErrorResponse:
			failed = pgconn.ErrorResponseToPgError(m)
			if fatal(m) {
				f.err, f.lost = gone(failed), true
				return f
			}
		case *pgproto3.ReadyForQuery:
			l.status = m.TxStatus
			if failed == nil && unsure {
				f.err, f.lost = gone(errUnsure), true
			}
			if failed != nil {
				c.failed(&f, failed, at, parsed)
			}
			return f
		}
	}
}

var errUnsure = errors.New("the commit was not confirmed by the standby")

// codeCancelled is the error of a statement that was broken off, codeReadOnly that of one
// that writes in a session that must not.
const (
	codeCancelled = "57014"
	codeReadOnly  = "25006"
)

// failed says what an error of a statement means.
func (c *conn) failed(f *outcome, e *pgconn.PgError, at, parsed int) {
	f.err = problem(e)
	// What stands behind it was not even read.
	for i := at; i < len(c.sending); i++ {
		if c.sending[i].parses && i != parsed {
			c.sending[i].s.on = nil
		}
	}
	f.guarded = at < len(c.sending) && c.sending[at].guarded
	f.cancelled = e.Code == codeCancelled
	switch {
	case e.Code == "26000" || e.Code == "42P05":
		// Something between gives the session to others, too.
		f.stale, c.link.pooled = true, true
	case e.Code == codeReadOnly:
		// Another connection may be to another server, or under other settings.
		f.lost = true
	case e.Code == "0A000" && e.Routine == "RevalidateCachedQuery":
		f.stale, c.stale = true, true
		f.err = &sqlstore.Problem{Class: sqlstore.Busy, Err: e}
	}
	c.link.broken = c.link.status != 'I' && !c.sent && (f.stale || c.tx != txOpen)
}
