package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// schema has no foreign keys: at SERIALIZABLE their look-ups lock pages of indexes into
// which everybody inserts, and checkouts become several times slower. The transactions
// touch what they point at anyway.
const schema = `
CREATE TABLE users (
  id text PRIMARY KEY, created timestamptz NOT NULL, updated timestamptz NOT NULL,
  version bigint NOT NULL DEFAULT 1, email text NOT NULL UNIQUE, name text NOT NULL,
  wallet bigint NOT NULL CHECK (wallet >= 0));
CREATE TABLE sessions (
  hash bytea PRIMARY KEY, "user" text NOT NULL, expires timestamptz NOT NULL);
CREATE TABLE products (
  id text PRIMARY KEY, created timestamptz NOT NULL, updated timestamptz NOT NULL,
  version bigint NOT NULL DEFAULT 1, name text NOT NULL, about text, price bigint NOT NULL,
  cost bigint, stock bigint NOT NULL CHECK (stock >= 0), listed boolean NOT NULL);
CREATE INDEX products_by_price ON products (listed, price DESC, id);
CREATE TABLE orders (
  id text PRIMARY KEY, created timestamptz NOT NULL, updated timestamptz NOT NULL,
  version bigint NOT NULL DEFAULT 1, customer text NOT NULL,
  status text NOT NULL, total bigint NOT NULL);
CREATE INDEX orders_by_customer ON orders (customer, created DESC);
CREATE TABLE order_items (
  id text PRIMARY KEY, created timestamptz NOT NULL, updated timestamptz NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  "order" text NOT NULL, product text NOT NULL, quantity bigint NOT NULL, price bigint NOT NULL);
CREATE INDEX order_items_by_order ON order_items ("order");
CREATE TABLE notes (
  id text PRIMARY KEY, created timestamptz NOT NULL, updated timestamptz NOT NULL,
  version bigint NOT NULL DEFAULT 1, author text NOT NULL,
  title text NOT NULL, body text);
`

// sessionTime is how long the sessions made by load are good.
const sessionTime = 24 * time.Hour

// load makes the tables out of the files of the fixture, with a session for each user,
// and writes the tokens in the order of the users to tokens.json.
func load(ctx context.Context, url, dir, products, users string) (err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	if _, err := c.Exec(ctx, schema); err != nil {
		return err
	}
	now := time.Now().UTC()
	copyIn := func(path, table string, columns []string, row func([]byte) ([]any, error)) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		_, err = c.CopyFrom(ctx, pgx.Identifier{table}, columns,
			pgx.CopyFromFunc(func() ([]any, error) {
				if !lines.Scan() {
					return nil, lines.Err()
				}
				return row(lines.Bytes())
			}))
		return err
	}
	err = copyIn(products, "products",
		[]string{"id", "created", "updated", "name", "about", "price", "cost", "stock", "listed"},
		func(line []byte) ([]any, error) {
			var p struct {
				ID, Name, About    string
				Price, Cost, Stock int64
				Listed             bool
			}
			err := json.Unmarshal(line, &p)
			return []any{p.ID, now, now, p.Name, p.About, p.Price, p.Cost, p.Stock, p.Listed}, err
		})
	if err != nil {
		return err
	}
	var ids []string
	err = copyIn(users, "users", []string{"id", "created", "updated", "email", "name", "wallet"},
		func(line []byte) ([]any, error) {
			var u struct {
				ID, Email, Name string
				Wallet          int64
			}
			err := json.Unmarshal(line, &u)
			ids = append(ids, u.ID)
			return []any{u.ID, now, now, u.Email, u.Name, u.Wallet}, err
		})
	if err != nil {
		return err
	}
	var tokens []string
	for _, id := range ids {
		token := rand.Text() + rand.Text()
		tokens = append(tokens, token)
		hash := sha256.Sum256([]byte(token))
		_, err := c.Exec(ctx, `INSERT INTO sessions VALUES ($1, $2, $3)`, hash[:], id,
			now.Add(sessionTime))
		if err != nil {
			return err
		}
	}
	if _, err := c.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return err
	}
	text, err := json.Marshal(tokens)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tokens.json"), text, 0o600)
}
