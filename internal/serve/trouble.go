package serve

import (
	"context"
	"errors"
	"syscall"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/store/sqlstore"
)

// placed is a database whose troubles say at which address they came up, for commands that
// have to do with two of them.
type placed struct {
	database
	address string
}

// Snapshot, Leave and Fill are as in sqlstore.
func (p placed) Snapshot(ctx context.Context, fn func(*sqlstore.Snapshot) error) error {
	return trouble(p.address, p.database.Snapshot(ctx, fn))
}

func (p placed) Leave(ctx context.Context, to string, fn func(*sqlstore.Snapshot) error) error {
	return trouble(p.address, p.database.Leave(ctx, to, fn))
}

func (p placed) Fill(ctx context.Context, fn func(*sqlstore.Filler) error) error {
	return trouble(p.address, p.database.Fill(ctx, fn))
}

// CodeFull is the code of what a disk has no room for.
const CodeFull = "disk_full"

// located is an error of which it was said in which database it came up.
type located struct{ error }

// Unwrap returns the error.
func (l located) Unwrap() error { return l.error }

// trouble makes of what a database could not do a fault that names its address: what it
// is, and what to do where the disk is full.
func trouble(address string, err error) error {
	if err == nil || errors.As(err, new(located)) {
		return err
	}
	f := fault.From(err)
	switch {
	case isFull(err):
		return &fault.Fault{Kind: fault.Unavailable, Code: CodeFull, Cause: located{err},
			Message: "The disk of the database " + shown(address) + " is full: make room there, " +
				"and run the same command again."}
	case f.Kind == fault.Unavailable && f.Cause != nil && !errors.Is(err, sqlstore.ErrMoved):
		return &fault.Fault{Kind: f.Kind, Code: f.Code, Cause: located{err},
			Message: "The database " + shown(address) + ": " + f.Message + "\n  " + f.Cause.Error()}
	}
	return err
}

// isFull reports whether an error is that of a disk without room.
func isFull(err error) bool {
	return sqlstore.IsFull(err) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
