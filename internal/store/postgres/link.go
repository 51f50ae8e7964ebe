package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// queryTime bounds a statement of a reader, at the server. Calls have bounds of
	// their own; this one ends what a process that is gone has left behind.
	queryTime = 10 * time.Minute
	// lockTime bounds how long a statement waits for a lock of another process.
	lockTime = 20 * time.Second
	// hurryTime bounds how long a change of the schema waits for calls that read, while
	// those that come wait for it.
	hurryTime = 5 * time.Second
	// idleTime bounds how long a transaction may stand open without a statement, so
	// that a process that hangs lets go of the head.
	idleTime = 20 * time.Second
	// answerTime bounds how long nothing may come from the server while an answer is
	// waited for. Changes of the schema have no such bound.
	answerTime = 90 * time.Second
	// writeTime is the same for what is written, behind which others wait.
	writeTime = 30 * time.Second
	// cancelTime bounds how long a statement that was cancelled may take to end, before
	// its connection is given up.
	cancelTime = 5 * time.Second
)

// link is one connection to the server: bytes out, messages in. When it is lost it is
// thrown away.
type link struct {
	net net.Conn
	in  *pgproto3.Frontend
	// by is asked to cancel statements; nothing else goes through it.
	by *pgconn.PgConn
	// pooled says that a pooler such as PgBouncer stands between, which may give each
	// transaction to another server process: neither prepared statements nor settings
	// of the session last.
	pooled  bool
	version string
	scheme  string
	out     []byte
	// status is the state of the transaction as the server last said it: 'I' none, 'T'
	// open, 'E' broken.
	status byte
	// broken says that a transaction must be rolled back before the next begins.
	broken bool
	// unread counts the answers that nobody has waited for.
	unread int
}

// dial connects, and says to the server what holds for the session.
func (d *dialect) dial(ctx context.Context, write bool) (*link, error) {
	pg, err := pgconn.ConnectConfig(ctx, d.config)
	if err != nil {
		return nil, err
	}
	// What bounds the connecting does not bound what is asked then.
	ctx, stop := context.WithTimeout(ctx, d.config.ConnectTimeout)
	defer stop()
	l := &link{status: 'I', version: pg.ParameterStatus("server_version"),
		scheme: pg.ParameterStatus("server_encoding")}
	pid := pg.PID()
	read := pg.Exec(ctx, "SELECT pg_backend_pid()")
	results, err := read.ReadAll()
	if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
		return nil, errors.Join(err, pg.Close(ctx), errors.New("the server does not answer"))
	}
	l.pooled = string(results[0].Rows[0][0]) != strconv.Itoa(int(pid))
	if !l.pooled {
		settings := d.settings(write, false)
		if write {
			settings += "; " + sqlCompress
		}
		if _, err := pg.Exec(ctx, settings).ReadAll(); err != nil {
			return nil, errors.Join(err, pg.Close(ctx))
		}
	}
	h, err := pg.Hijack()
	if err != nil {
		return nil, err
	}
	if l.by, err = pgconn.Construct(h); err != nil {
		return nil, errors.Join(err, h.Conn.Close())
	}
	l.net = h.Conn
	// On a busy machine pgconn may be reading in the background still. Its own reader hands
	// out what comes there; another one would miss it.
	l.in = h.Frontend
	return l, nil
}

// sqlCompress has long texts, such as the changes of an entry, kept in the way that takes
// the server the least time, where it knows that.
const sqlCompress = "SELECT set_config(name, 'lz4', false) FROM pg_settings " +
	"WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)"

// settings writes what holds for the session, or for one transaction.
func (d *dialect) settings(write, local bool) string {
	timeout := queryTime
	if write {
		// A commit that waits for a standby must not be broken off, and what else is
		// written is bounded by locks.
		timeout = 0
	}
	set := func(name, value string) string {
		return "set_config('" + name + "', " + quoteText(value) + ", " +
			strconv.FormatBool(local) + ")"
	}
	millis := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return "SELECT " + strings.Join([]string{
		set("search_path", d.Quote(d.schema)),
		set("statement_timeout", millis(timeout)),
		set("lock_timeout", millis(lockTime)),
		set("idle_in_transaction_session_timeout", millis(idleTime)),
		set("extra_float_digits", "1"),
		set("jit", "off"),
	}, ", ")
}

// supported refuses servers that keep texts in another form, or are too old.
func (l *link) supported() error {
	if l.scheme != "UTF8" {
		return fmt.Errorf("the database keeps texts as %s; Galley needs UTF8. Make one:  "+
			"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", l.scheme)
	}
	major := l.version // such as 15.8, 16.2 (Debian 16.2-1), 18beta1
	if end := strings.IndexFunc(major, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		major = major[:end]
	}
	if n, err := strconv.Atoi(major); err != nil || n < versionMin {
		return fmt.Errorf("PostgreSQL %s is too old; Galley needs %d or later", l.version,
			versionMin)
	}
	return nil
}

// flush sends what waits.
func (l *link) flush(limit time.Duration) error {
	deadline := time.Time{}
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	if err := l.net.SetDeadline(deadline); err != nil {
		return err
	}
	_, err := l.net.Write(l.out)
	if l.out = l.out[:0]; cap(l.out) > bufferMax {
		l.out = nil
	}
	return err
}

// catchUp reads the answers that nobody waited for.
func (l *link) catchUp() error {
	for l.unread > 0 {
		m, err := l.in.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			l.unread--
			l.status = m.TxStatus
		case *pgproto3.ErrorResponse:
			if fatal(m) {
				return pgconn.ErrorResponseToPgError(m)
			}
		}
	}
	return nil
}

// fatal reports whether the server ends the connection with the error.
func fatal(m *pgproto3.ErrorResponse) bool {
	s := m.SeverityUnlocalized
	if s == "" {
		s = m.Severity
	}
	return s == "FATAL" || s == "PANIC"
}

// watch cancels the running statement when ctx ends. Done must be called when its
// answer was read, and before anything else is sent. It reports whether the server was
// asked to cancel: if it did not, it may still cancel what comes next.
func (l *link) watch(ctx context.Context) (done func() (asked bool)) {
	if ctx.Done() == nil {
		return func() bool { return false }
	}
	var finished atomic.Bool
	asked, ended := false, make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		if finished.Load() {
			return
		}
		asked = true
		asking, cancel := context.WithTimeout(context.Background(), cancelTime)
		defer cancel()
		// Whether the server hears it or not, the deadline ends the waiting; an error
		// of either shows there.
		_ = l.net.SetReadDeadline(time.Now().Add(cancelTime))
		_ = l.by.CancelRequest(asking)
	})
	return func() bool {
		finished.Store(true)
		if stop() {
			return false
		}
		<-ended
		return asked
	}
}

// close says goodbye and ends the connection.
func (l *link) close() error {
	l.out = append(l.out[:0], 'X', 0, 0, 0, 4)
	// A connection that is broken is closed as well as one that is not.
	_ = l.flush(time.Second)
	return l.net.Close()
}
