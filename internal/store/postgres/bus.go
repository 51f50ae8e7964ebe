package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/galleybackend/galley/internal/store"
)

const (
	// payloadMax is how much of a word one notification carries; the server takes less
	// than 8,000 bytes, with what says to which word it belongs.
	payloadMax = 7800
	// identMax is the greatest length of the name of notifications.
	identMax = 63
	// partsMax bounds the words of which not every part has come yet.
	partsMax = 64
	// sayTime bounds how long a word may take to be said.
	sayTime = 5 * time.Second
	// silentTime is after how long without a word the connection is asked whether it
	// lives, listenAgain how long it is waited before it is made anew.
	silentTime  = 30 * time.Second
	listenAgain = time.Second
)

// bus carries words between the processes on a schema by NOTIFY. It has a connection of
// its own for each way, made when it is used.
type bus struct {
	*dialect
	// secret is that of the database's processes, called the name of the notifications: any user
	// of the server who knew it could hear them, and say some.
	secret func(context.Context) (string, error)
	naming sync.Mutex
	called string
	mu     sync.Mutex
	closed bool
	out    *pgconn.PgConn
	said   uint64
}

var _ store.Bus = (*Store)(nil)

// Publish says a word to all who listen.
func (s *Store) Publish(ctx context.Context, word []byte) error { return s.bus.publish(ctx, word) }

// Listen calls hear with each word until ctx ends. Behind a pooler that gives each
// transaction another connection there are none to hear.
func (s *Store) Listen(ctx context.Context, hear func([]byte)) error {
	return s.bus.listen(ctx, hear)
}

// Close ends the store.
func (s *Store) Close() error { return errors.Join(s.bus.close(), s.Store.Close()) }

// channelName is that of the notifications.
func (b *bus) channelName(ctx context.Context) (string, error) {
	b.naming.Lock()
	defer b.naming.Unlock()
	if b.called != "" {
		return b.called, nil
	}
	secret, err := b.secret(ctx)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("galley-bus:%x", sha256.Sum224([]byte(b.schema+"\x00"+secret)))
	b.called = name[:identMax]
	return b.called, nil
}

func (b *bus) publish(ctx context.Context, word []byte) error {
	if len(word) > store.BusMax {
		return fmt.Errorf("a word on the bus has at most %d bytes, not %d", store.BusMax, len(word))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errors.New("the database is closed")
	}
	ctx, cancel := context.WithTimeout(ctx, sayTime)
	defer cancel()
	b.said++
	payloads := parts(b.node+" "+strconv.FormatUint(b.said, 36), word)
	err := b.notify(ctx, payloads)
	if err != nil && ctx.Err() == nil {
		err = b.notify(ctx, payloads) // the connection may have died long ago
	}
	return err
}

// notify says the parts of a word in one transaction.
func (b *bus) notify(ctx context.Context, payloads []string) error {
	if b.out == nil {
		c, err := pgconn.ConnectConfig(ctx, b.config)
		if err != nil {
			return gone(err)
		}
		b.out = c
	}
	name, err := b.channelName(ctx)
	if err != nil {
		return err
	}
	batch := &pgconn.Batch{}
	for _, p := range payloads {
		batch.ExecParams("SELECT pg_notify($1, $2)", [][]byte{[]byte(name), []byte(p)},
			[]uint32{oidText, oidText}, nil, nil)
	}
	_, err = b.out.ExecBatch(ctx, batch).ReadAll()
	if err != nil {
		b.drop()
		return gone(err)
	}
	return nil
}

// drop gives up the connection that speaks.
func (b *bus) drop() {
	if b.out == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = b.out.Close(ctx) // nothing that it held is wanted
	b.out = nil
}

func (b *bus) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.drop()
	return nil
}

// listen hears words, on a new connection when one is lost.
func (b *bus) listen(ctx context.Context, hear func([]byte)) error {
	for ctx.Err() == nil {
		_ = b.hears(ctx, hear) // what was lost meanwhile is told by nil
		hear(nil)
		t := time.NewTimer(listenAgain)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
	return nil
}

// hears hears words on one connection until it is lost.
func (b *bus) hears(ctx context.Context, hear func([]byte)) (err error) {
	heard := words{open: map[string]*word{}}
	config := b.config.Copy()
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		if whole, ok := heard.add(n.Payload); ok {
			hear([]byte(whole))
		}
	}
	c, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		err = errors.Join(err, c.Close(closing))
	}()
	name, err := b.channelName(ctx)
	if err != nil {
		return err
	}
	if err := b.listens(ctx, c, b.Quote(name)); err != nil {
		return err
	}
	for {
		waiting, stop := context.WithTimeout(ctx, silentTime)
		err := c.WaitForNotification(waiting)
		silent := waiting.Err() != nil
		stop()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && silent:
			asking, stop := context.WithTimeout(ctx, sayTime)
			_, err = c.Exec(asking, "SELECT 1").ReadAll()
			stop()
		}
		if err != nil {
			return err
		}
	}
}

// parts cuts a word into what notifications can carry. Each begins with the word's name,
// its place and how many there are.
func parts(name string, word []byte) []string {
	var pieces []string
	for len(word) > payloadMax {
		n := payloadMax
		for !utf8.RuneStart(word[n]) {
			n--
		}
		pieces = append(pieces, string(word[:n]))
		word = word[n:]
	}
	pieces = append(pieces, string(word))
	for i := range pieces {
		pieces[i] = name + " " + strconv.Itoa(i) + " " + strconv.Itoa(len(pieces)) + " " + pieces[i]
	}
	return pieces
}

// words puts parts together again.
type words struct{ open map[string]*word }

type word struct {
	have []string
	left int
}

// add takes a part, and returns the word if it was the last.
func (w *words) add(payload string) (string, bool) {
	head := strings.SplitN(payload, " ", 5)
	if len(head) != 5 {
		return "", false
	}
	at, err := strconv.Atoi(head[2])
	of, err2 := strconv.Atoi(head[3])
	if err != nil || err2 != nil || at < 0 || at >= of || of > store.BusMax/payloadMax*2 {
		return "", false
	}
	if of == 1 {
		return head[4], true
	}
	name := head[0] + " " + head[1]
	x := w.open[name]
	if x == nil {
		if len(w.open) >= partsMax {
			clear(w.open) // what is lost is lost
		}
		x = &word{have: make([]string, of), left: of}
		w.open[name] = x
	}
	if at >= len(x.have) || x.have[at] != "" {
		return "", false
	}
	x.have[at] = head[4]
	if x.left--; x.left > 0 {
		return "", false
	}
	delete(w.open, name)
	return strings.Join(x.have, ""), true
}
