package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/galleybackend/galley/internal/store/sqlite"
)

// database is where the systems of one measurement keep their data, each apart.
type database interface {
	// direct loads the direct driver's tables and opens it.
	direct(ctx context.Context, s scale) (system, error)
	readDirect(ctx context.Context) (reader, error)
	// galley returns the flags that name the database of a language's Galley.
	galley(ctx context.Context, language string) ([]string, error)
	// copies gives others what one language's Galley was filled with.
	copies(ctx context.Context, from string, to []string) error
	read(ctx context.Context, language string) (reader, error)
	// journal opens the store of a Galley that does not run.
	journal(ctx context.Context, language string) (journaled, error)
	end() error
}

// sqliteHome is a folder of SQLite files.
type sqliteHome struct{ dir string }

func (h *sqliteHome) file(language string) string {
	return filepath.Join(h.dir, language, "galley.db")
}

func (h *sqliteHome) direct(_ context.Context, s scale) (system, error) {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(h.dir, "direct.db")
	if err := loadLite(path, s, loadSeed); err != nil {
		return nil, err
	}
	return openDirectLite(path)
}

func (h *sqliteHome) readDirect(context.Context) (reader, error) {
	return readLite(filepath.Join(h.dir, "direct.db"))
}

func (h *sqliteHome) galley(_ context.Context, language string) ([]string, error) {
	return []string{"--data", filepath.Join(h.dir, language)}, nil
}

func (h *sqliteHome) copies(_ context.Context, from string, to []string) error {
	for _, language := range to {
		err := copyDir(filepath.Join(h.dir, from), filepath.Join(h.dir, language))
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *sqliteHome) read(_ context.Context, language string) (reader, error) {
	return readLite(h.file(language))
}

func (h *sqliteHome) journal(ctx context.Context, language string) (journaled, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: h.file(language)})
}

func (h *sqliteHome) end() error { return nil }
