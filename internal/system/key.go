package system

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Keys is the quiet collection of the secrets that all processes on a database share.
const Keys = "_keys"

// KeyCursors is the name of the key that authenticates cursors.
const KeyCursors = "cursors"

// keySize is the size of a key, in bytes.
const keySize = 32

// Collections returns the quiet collections that every app has.
func Collections() []*spec.Collection {
	text := value.Type{Kind: value.TypeString}
	return []*spec.Collection{{Name: Keys, Quiet: true, Fields: []*spec.Field{
		{Name: "name", Type: text, Unique: true},
		{Name: "secret", Type: text},
	}}}
}

// Key returns the named key, and makes it where there is none yet: the same one on
// every process, for as long as the database lives. The shape is that of Keys.
func Key(ctx context.Context, s store.Store, shape *value.Shape, name string) ([]byte, error) {
	t := value.Type{Kind: value.TypeString}
	plan := &query.Plan{From: Keys, Limit: 1, Where: query.Same{R: query.Param{Type: t},
		L: query.Field{Of: query.Row{}, Collection: Keys, Name: "name", Type: t}}}
	ask := query.Query{Plan: plan, Args: []value.Value{value.OfText(name)}}
	var text string
	look := func(v store.View) error {
		rows, err := v.Find(ctx, ask)
		if err == nil && len(rows) > 0 {
			text = rows[0].Get("secret").Text()
		}
		return err
	}
	if err := s.Read(ctx, look); err != nil {
		return nil, err
	}
	if text == "" {
		fresh := make([]byte, keySize)
		if _, err := rand.Read(fresh); err != nil {
			return nil, err
		}
		row := value.NewRecord(shape)
		row.Slots[spec.SlotID] = value.OfText(string(ident.NewRecord()))
		row.Set("name", value.OfText(name))
		row.Set("secret", value.OfText(base64.RawURLEncoding.EncodeToString(fresh)))
		origin := journal.Origin{Call: ident.NewCall(), Operation: Keys, Door: "house",
			Subject: ident.Subject{Who: ident.System, Name: Keys}}
		_, err := s.Write(ctx, origin, func(tx store.Tx) error {
			if err := look(tx); err != nil || text != "" {
				return err // another process was there before
			}
			_, err := tx.Put(ctx, Keys, row)
			return err
		})
		if err != nil {
			return nil, err
		}
		if err := s.Read(ctx, look); err != nil {
			return nil, err
		}
	}
	return base64.RawURLEncoding.DecodeString(text)
}
