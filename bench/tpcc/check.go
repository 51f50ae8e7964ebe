package main

import (
	"context"
	"fmt"
	"strings"
)

// reader asks a database, beside whatever else uses it.
type reader interface {
	// count runs a query of one row: a number and a text.
	count(ctx context.Context, sql string) (int64, string, error)
	// exec changes something, for tests of the checks.
	exec(ctx context.Context, sql string) error
	close() error
}

// layout says how a database keeps the tables, as queries of the names that the
// conditions use: w, d, c, h, o, n, l. Keys are whatever tells records apart.
type layout string

// layoutGalley is how Galley keeps the collections of the app.
const layoutGalley layout = `
w AS (SELECT id AS w, ytd FROM warehouses),
d AS (SELECT id AS d, warehouse AS w, ytd, next_order FROM districts),
c AS (SELECT id AS c, district AS d, balance, ytd_payment AS paid, deliveries FROM customers),
h AS (SELECT customer AS c, district AS d, amount FROM history),
o AS (SELECT id AS o, district AS d, number, carrier, lines FROM orders),
n AS (SELECT "order" AS o, district AS d, number FROM new_orders),
l AS (SELECT "order" AS o, amount, delivered FROM order_lines)`

// layoutDirect is how the direct drivers keep them; a place for a billion orders lies
// between two districts.
const layoutDirect layout = `
w AS (SELECT w_id AS w, w_ytd AS ytd FROM warehouse),
d AS (SELECT d_id AS d, d_w_id AS w, d_ytd AS ytd, d_next_o_id AS next_order FROM district),
c AS (SELECT c_d_id * 1000000000000 + c_id AS c, c_d_id AS d, c_balance AS balance,
  c_ytd_payment AS paid, c_delivery_cnt AS deliveries FROM customer),
h AS (SELECT h_c_d_id * 1000000000000 + h_c_id AS c, h_d_id AS d, h_amount AS amount
  FROM history),
o AS (SELECT o_d_id * 1000000000000 + o_id AS o, o_d_id AS d, o_id AS number,
  o_carrier_id AS carrier, o_ol_cnt AS lines FROM orders),
n AS (SELECT no_d_id * 1000000000000 + no_o_id AS o, no_d_id AS d, no_o_id AS number
  FROM new_order),
l AS (SELECT ol_d_id * 1000000000000 + ol_o_id AS o, ol_amount AS amount,
  ol_delivery_d AS delivered FROM order_line)`

// condition is something that must hold; its query finds what breaks it, as k.
type condition struct {
	number int
	says   string
	broken string
}

// doneSum is the sum of the delivered lines of each customer's orders.
const (
	doneSum = `done AS (SELECT a.c, sum(l.amount) AS sum FROM l JOIN a ON a.o = l.o
		WHERE l.delivered IS NOT NULL GROUP BY a.c)`
	paidSum = `paid AS (SELECT c, sum(amount) AS sum FROM h GROUP BY c)`
)

// conditions are the consistency conditions of TPC-C. Orders that were delivered since
// the load are counted by the customers' deliveries.
func conditions(s scale) []condition {
	return []condition{
		{1, "W_YTD = sum of D_YTD", `SELECT w.w AS k FROM w
			WHERE ytd <> (SELECT coalesce(sum(d.ytd), 0) FROM d WHERE d.w = w.w)`},
		{2, "D_NEXT_O_ID - 1 = max(O_ID) = max(NO_O_ID)", `SELECT d.d AS k FROM d
			LEFT JOIN (SELECT d, max(number) AS last FROM o GROUP BY d) x ON x.d = d.d
			LEFT JOIN (SELECT d, max(number) AS last FROM n GROUP BY d) y ON y.d = d.d
			WHERE next_order - 1 <> coalesce(x.last, 0)
			OR next_order - 1 <> coalesce(y.last, next_order - 1)`},
		{3, "new-orders of a district have no gap", `SELECT d AS k FROM n GROUP BY d
			HAVING max(number) - min(number) + 1 <> count(*)`},
		{4, "sum of O_OL_CNT = order lines of a district", `SELECT d.d AS k FROM d
			LEFT JOIN (SELECT d, sum(lines) AS said FROM o GROUP BY d) x ON x.d = d.d
			LEFT JOIN (SELECT o.d, count(*) AS are FROM l JOIN o ON o.o = l.o GROUP BY o.d) y
			ON y.d = d.d WHERE coalesce(said, 0) <> coalesce(are, 0)`},
		{5, "no carrier exactly if in new-order", `SELECT o.o AS k FROM o
			LEFT JOIN n ON n.o = o.o WHERE (carrier IS NULL) <> (n.o IS NOT NULL)
			UNION ALL SELECT n.o FROM n LEFT JOIN o ON o.o = n.o WHERE o.o IS NULL`},
		{6, "O_OL_CNT = order lines of an order", `SELECT o.o AS k FROM o
			LEFT JOIN (SELECT o, count(*) AS are FROM l GROUP BY o) x ON x.o = o.o
			WHERE lines <> coalesce(are, 0)`},
		{7, "not delivered exactly if no carrier", `SELECT l.o AS k FROM l
			LEFT JOIN o ON o.o = l.o
			WHERE o.o IS NULL OR (l.delivered IS NULL) <> (o.carrier IS NULL)`},
		{8, "W_YTD = sum of H_AMOUNT", `SELECT w.w AS k FROM w WHERE ytd <> (SELECT
			coalesce(sum(amount), 0) FROM h JOIN d ON d.d = h.d WHERE d.w = w.w)`},
		{9, "D_YTD = sum of H_AMOUNT", `SELECT d.d AS k FROM d
			LEFT JOIN (SELECT d, sum(amount) AS sum FROM h GROUP BY d) x ON x.d = d.d
			WHERE ytd <> coalesce(x.sum, 0)`},
		{10, "C_BALANCE = delivered - sum of H_AMOUNT", `SELECT c.c AS k FROM c
			LEFT JOIN done ON done.c = c.c LEFT JOIN paid ON paid.c = c.c
			WHERE balance <> coalesce(done.sum, 0) - coalesce(paid.sum, 0)`},
		{11, "orders - new-orders = delivered ones", fmt.Sprintf(`SELECT d.d AS k FROM d
			LEFT JOIN (SELECT d, count(*) AS are FROM o GROUP BY d) x ON x.d = d.d
			LEFT JOIN (SELECT d, count(*) AS are FROM n GROUP BY d) y ON y.d = d.d
			LEFT JOIN (SELECT d, sum(deliveries) AS are FROM c GROUP BY d) z ON z.d = d.d
			WHERE coalesce(x.are, 0) - coalesce(y.are, 0) <> %d + coalesce(z.are, 0)`,
			s.delivered())},
		{12, "C_BALANCE + C_YTD_PAYMENT = delivered", `SELECT c.c AS k FROM c
			LEFT JOIN done ON done.c = c.c
			WHERE balance + c.paid <> coalesce(done.sum, 0)`},
	}
}

// holds says what was found of a condition.
type finding struct {
	condition
	wrong int64  // how many break it
	first string // one of them
}

// check asks all conditions and returns those that do not hold.
func check(ctx context.Context, r reader, s scale, l layout) ([]finding, error) {
	var out []finding
	for _, c := range conditions(s) {
		with := "WITH " + string(l)
		if strings.Contains(c.broken, "done") {
			with += ", a AS (" + l.buyers() + "), " + doneSum + ", " + paidSum
		}
		n, first, err := r.count(ctx, with+
			"\nSELECT count(*), coalesce(min(CAST(k AS TEXT)), '') FROM ("+c.broken+") broken")
		if err != nil {
			return nil, fmt.Errorf("condition %d: %w", c.number, err)
		}
		if n > 0 {
			out = append(out, finding{c, n, first})
		}
	}
	return out, nil
}

// buyers tells whose an order is.
func (l layout) buyers() string {
	if l == layoutGalley {
		return "SELECT id AS o, customer AS c FROM orders"
	}
	return `SELECT o_d_id * 1000000000000 + o_id AS o, o_d_id * 1000000000000 + o_c_id AS c
		FROM orders`
}

// done is what a database says has been done to it since it was loaded.
type done struct{ orders, payments, delivered int64 }

// since counts what has been done, to compare with what was acknowledged.
func since(ctx context.Context, r reader, s scale, l layout) (d done, err error) {
	for _, q := range []struct {
		into *int64
		sql  string
		less int
	}{
		{&d.orders, "SELECT count(*), '' FROM o", districts * s.Customers},
		{&d.payments, "SELECT count(*), '' FROM h", districts * s.Customers},
		{&d.delivered, "SELECT CAST(sum(deliveries) AS BIGINT), '' FROM c", 0},
	} {
		if *q.into, _, err = r.count(ctx, "WITH "+string(l)+" "+q.sql); err != nil {
			return d, err
		}
		*q.into -= int64(q.less)
	}
	return d, nil
}

// liteReader reads a SQLite file.
type liteReader struct{ db *lite }

func readLite(path string) (reader, error) {
	db, err := openLite(path)
	return liteReader{db}, err
}

func (r liteReader) count(_ context.Context, sql string) (n int64, text string, err error) {
	s, _, err := r.db.Prepare(sql)
	if err != nil {
		return 0, "", err
	}
	if s.Step() {
		n, text = s.ColumnInt64(0), s.ColumnText(1)
	}
	return n, text, s.Close()
}

func (r liteReader) exec(_ context.Context, sql string) error { return r.db.Exec(sql) }

func (r liteReader) close() error { return r.db.Close() }
