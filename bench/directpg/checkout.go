package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/galleybackend/galley/internal/ident"
)

const (
	// triesMax bounds how often a checkout is tried that others stand against.
	triesMax = 100
	// restMax is how long at most it rests before the next try.
	restMax = 5 * time.Millisecond
)

type item struct {
	Product  string `json:"product"`
	Quantity int64  `json:"quantity"`
}

func checkout(c *pgx.Conn, r *http.Request) (int, []byte, error) {
	buyer, err := user(c, r)
	if err != nil {
		return 0, nil, err
	}
	var in struct {
		Items []item `json:"items"`
	}
	if err := read(r, &in); err != nil || len(in.Items) == 0 || len(in.Items) > itemsMax {
		return 0, nil, errInput
	}
	for _, item := range in.Items {
		if item.Quantity < 1 || item.Quantity > 99 {
			return 0, nil, errInput
		}
	}
	order := string(ident.NewRecord())
	var balance int64
	err = serializable(r.Context(), c, func(tx pgx.Tx) error {
		var err error
		balance, err = buy(r.Context(), tx, buyer, order, in.Items)
		return err
	})
	body := append(append(make([]byte, 0, 128), `{"order":"`...), order...)
	body = strconv.AppendInt(append(body, `","balance":`...), balance, 10)
	return http.StatusOK, append(body, '}'), err
}

// serializable runs work in a transaction until nobody comes between.
func serializable(ctx context.Context, c *pgx.Conn, work func(pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.Serializable}, work)
		var p *pgconn.PgError
		if !errors.As(err, &p) || try == triesMax ||
			!slices.Contains([]string{"40001", "40P01"}, p.Code) {
			return err
		}
		if try > 1 { // the first loser tries again at once
			time.Sleep(rand.N(restMax))
		}
	}
}

// buy is the transaction: it takes the stock, where most conflicts are, then the money,
// and writes the order and its lines in one round trip.
func buy(ctx context.Context, tx pgx.Tx, buyer, order string, items []item) (int64, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	prices := make([]int64, len(items))
	var total, balance int64
	for i, item := range items {
		err := tx.QueryRow(ctx, `UPDATE products SET stock = stock - $1, updated = $2,
			version = version + 1 WHERE id = $3 AND listed AND stock >= $1 RETURNING price`,
			item.Quantity, now, item.Product).Scan(&prices[i])
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, whyNot(ctx, tx, item.Product)
		}
		if err != nil {
			return 0, err
		}
		total += prices[i] * item.Quantity
	}
	err := tx.QueryRow(ctx, `UPDATE users SET wallet = wallet - $1, updated = $2,
		version = version + 1 WHERE id = $3 AND wallet >= $1 RETURNING wallet`,
		total, now, buyer).Scan(&balance)
	if err != nil {
		return 0, orNone(err, errWallet)
	}
	writes := &pgx.Batch{}
	writes.Queue(`INSERT INTO orders (id, created, updated, customer, status, total)
		VALUES ($1, $2, $2, $3, 'paid', $4)`, order, now, buyer, total)
	for i, item := range items {
		writes.Queue(`INSERT INTO order_items
			(id, created, updated, "order", product, quantity, price)
			VALUES ($1, $2, $2, $3, $4, $5, $6)`,
			string(ident.NewRecord()), now, order, item.Product, item.Quantity, prices[i])
	}
	return balance, tx.SendBatch(ctx, writes).Close()
}

// whyNot says why a product could not be taken.
func whyNot(ctx context.Context, tx pgx.Tx, product string) error {
	var listed bool
	err := tx.QueryRow(ctx, `SELECT listed FROM products WHERE id = $1`, product).Scan(&listed)
	if err == nil && listed {
		return errStock
	}
	return orNone(err, errNotFound)
}
