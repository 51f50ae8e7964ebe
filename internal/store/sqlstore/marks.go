package sqlstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// tableMarks holds what a database says of itself, by name.
const tableMarks = reservedPrefix + "marks"

// The names of marks.
const (
	// MarkEpoch names the history that the journal tells. A restore begins another
	// one, because the same places may then hold other entries.
	MarkEpoch = "epoch"
	// MarkMoved names the database to which everything was moved: this one is past.
	MarkMoved = "moved"
	// MarkFilling says how far the database has been filled from another one. It is
	// not whole as long as the mark is there.
	MarkFilling = "filling"
	// markFormat is the number of the form in which the database is kept; a database
	// without one is older than the mark, and has the first.
	markFormat = "format"
	// markBus is a secret by which the processes on a database find one another, and by
	// which others who may use the same server do not. No copy has it.
	markBus = "bus"
)

// format is the number of the form in which this release keeps a database: which tables
// there are beside the records', what their columns and the functions of the database
// mean. Who changes that so that an earlier release would misread it, or write what is
// wrong, raises the number, and brings older databases to it when he opens them: in one
// transaction that holds the head's lock, sets the mark and leaves a turn of another
// history, so that those who run an earlier release end (see newer).
const format = 1

// ownFormat makes the table of marks, and asks of it whether this release knows the
// database. It comes before anything else is looked at or made.
func (s *Store) ownFormat(ctx context.Context) error {
	q, text := s.dialect.Quote, s.dialect.Column(&value.Type{Kind: value.TypeText})
	err := s.writer.Exec("CREATE TABLE IF NOT EXISTS "+q(tableMarks)+" (name "+text+
		" PRIMARY KEY, value "+text+" NOT NULL)", nil)
	if err != nil {
		return err
	}
	found, err := s.marks(ctx, s.writer)
	if err == nil {
		err = newer(found)
	}
	if err != nil || found[markFormat] != "" {
		return err
	}
	return s.mark(s.writer, markFormat, strconv.Itoa(format))
}

// newer returns an error if the marks are those of a database that a later release keeps.
func newer(marks map[string]string) error {
	text := marks[markFormat]
	if n, err := strconv.Atoi(text); text == "" || err == nil && n <= format {
		return nil
	}
	return fmt.Errorf("a later galley keeps it in format %s, and this one knows format %d only: "+
		"use the later one, or restore a backup that this one made into another database",
		text, format)
}

// ownMarks makes the epoch of a new database.
func (s *Store) ownMarks(ctx context.Context) error {
	found, err := s.marks(ctx, s.writer)
	if err != nil {
		return err
	}
	if found[MarkEpoch] == "" {
		found[MarkEpoch] = string(ident.NewCall())
		err = s.mark(s.writer, MarkEpoch, found[MarkEpoch])
	}
	s.history.Store(historyOf(found[MarkEpoch]))
	if err == nil && s.shared && found[markBus] == "" {
		err = s.mark(s.writer, markBus, rand.Text())
	}
	return err
}

// marks reads all marks.
func (s *Store) marks(ctx context.Context, c Conn) (map[string]string, error) {
	out := map[string]string{}
	err := c.Query(ctx, "SELECT name, value FROM "+s.dialect.Quote(tableMarks), nil,
		func(r Row) error {
			out[string(r.Text(0))] = string(r.Text(1))
			return nil
		})
	return out, err
}

// Epoch names the history that the journal tells. A database that was restored has
// another one than that of its backup; one to which everything was moved has the same.
func (s *Store) Epoch(ctx context.Context) (string, error) { return s.marked(ctx, MarkEpoch) }

// BusSecret is known to the processes on the database, and to nobody who may not read it;
// "" where only one process uses it.
func (s *Store) BusSecret(ctx context.Context) (string, error) { return s.marked(ctx, markBus) }

func (s *Store) marked(ctx context.Context, name string) (string, error) {
	if err := s.begin(); err != nil {
		return "", err
	}
	defer s.calls.Done()
	c, err := s.readers.take(ctx)
	if err != nil {
		return "", s.reading(ctx, err)
	}
	defer s.readers.give(c)
	found, err := s.marks(ctx, c)
	return found[name], s.reading(ctx, err)
}

// mark sets a mark; "" takes it away.
func (s *Store) mark(c Conn, name, text string) error {
	q, p := s.dialect.Quote(tableMarks), s.dialect.Placeholder
	err := c.Exec("DELETE FROM "+q+" WHERE name = "+p(1), []value.Value{value.OfText(name)})
	if err != nil || text == "" {
		return err
	}
	return c.Exec("INSERT INTO "+q+" (name, value) VALUES ("+p(1)+", "+p(2)+")",
		[]value.Value{value.OfText(name), value.OfText(text)})
}

// Usable returns nil if the database may be served, and else a fault that says why
// not: it was moved elsewhere, or it is not whole yet.
func (s *Store) Usable(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	c, err := s.readers.take(ctx)
	if err != nil {
		return s.reading(ctx, err)
	}
	defer s.readers.give(c)
	found, err := s.marks(ctx, c)
	switch {
	case err != nil:
		return s.reading(ctx, fmt.Errorf("read the marks: %w", err))
	case found[MarkMoved] != "":
		return fault.WithCode(fault.Unavailable, CodeMoved,
			"This database was moved to %s. Serve that one: --database %[1]s", found[MarkMoved])
	case found[MarkFilling] != "":
		return fault.WithCode(fault.Unavailable, CodeFilling,
			"A move into this database has not come to its end. Run the same galley move again.")
	}
	return nil
}

// The codes of databases that must not be served, although nothing about them is broken:
// CodeRestored and CodeNewer are those of one that became another while it was used.
const (
	CodeMoved    = "database_moved"
	CodeFilling  = "database_filling"
	CodeRestored = "database_restored"
	CodeNewer    = "database_newer"
)
