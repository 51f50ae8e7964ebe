package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/galleybackend/galley/bench/cluster"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

// database is where the systems of one measurement keep their data, each apart.
type database interface {
	// direct loads the direct driver's tables and opens it.
	direct(ctx context.Context, s scale) (system, error)
	readDirect(ctx context.Context) (reader, error)
	// galley returns the flags that name the database of a language's Galley.
	galley(ctx context.Context, language string) ([]string, error)
	// fresh makes the database of the first Galley, which is empty.
	fresh(ctx context.Context, language string) error
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

func (h *sqliteHome) fresh(context.Context, string) error { return nil }

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

// postgresHome is a cluster of its own, with a database for each.
type postgresHome struct {
	dir     string
	cluster *cluster.Cluster
}

func openPostgres(ctx context.Context, dir string) (*postgresHome, error) {
	c, err := cluster.Start(ctx, dir)
	return &postgresHome{dir, c}, err
}

func (h *postgresHome) direct(ctx context.Context, s scale) (system, error) {
	url, err := h.cluster.Create(ctx, "direct")
	if err == nil {
		err = loadPostgres(ctx, url, s)
	}
	return &directPostgres{url}, err
}

func (h *postgresHome) readDirect(ctx context.Context) (reader, error) {
	return readPostgres(ctx, h.cluster.URL("direct"))
}

func (h *postgresHome) galley(_ context.Context, language string) ([]string, error) {
	return []string{"--database", h.cluster.URL(language),
		"--data", filepath.Join(h.dir, "data-"+language)}, nil
}

func (h *postgresHome) fresh(ctx context.Context, language string) error {
	_, err := h.cluster.Create(ctx, language)
	return err
}

func (h *postgresHome) copies(ctx context.Context, from string, to []string) error {
	for _, language := range to {
		if err := h.cluster.Copy(ctx, from, language); err != nil {
			return err
		}
	}
	return nil
}

func (h *postgresHome) read(ctx context.Context, language string) (reader, error) {
	return readPostgres(ctx, h.cluster.URL(language))
}

func (h *postgresHome) journal(ctx context.Context, language string) (journaled, error) {
	return postgres.Open(ctx, postgres.Config{URL: h.cluster.URL(language)})
}

func (h *postgresHome) end() error { return h.cluster.Stop() }

// postgresReader reads a database of PostgreSQL.
type postgresReader struct{ conn *pgx.Conn }

func readPostgres(ctx context.Context, url string) (reader, error) {
	conn, err := pgx.Connect(ctx, url)
	return postgresReader{conn}, err
}

func (r postgresReader) count(ctx context.Context, sql string) (n int64, text string, err error) {
	err = r.conn.QueryRow(ctx, sql).Scan(&n, &text)
	return n, text, err
}

func (r postgresReader) exec(ctx context.Context, sql string) error {
	_, err := r.conn.Exec(ctx, sql)
	return err
}

func (r postgresReader) close() error { return r.conn.Close(context.Background()) }
