package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// loadPostgres makes the database of the direct driver.
func loadPostgres(ctx context.Context, url string, s scale) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if _, err := conn.Exec(ctx, fmt.Sprintf(directTables, "")); err != nil {
		return err
	}
	to := &copying{ctx: ctx, conn: conn}
	err = generate(s, loadSeed, &rows{insert: to.insert})
	if err = errors.Join(err, to.flush()); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// copying brings rows in by COPY, some thousands at a time.
type copying struct {
	ctx   context.Context
	conn  *pgx.Conn
	table string
	rows  [][]any
}

func (c *copying) insert(table string, values ...any) error {
	const most = 10_000
	if table != c.table || len(c.rows) == most {
		if err := c.flush(); err != nil {
			return err
		}
		c.table = table
	}
	c.rows = append(c.rows, values)
	return nil
}

func (c *copying) flush() error {
	if len(c.rows) == 0 {
		return nil
	}
	rows, err := c.conn.Query(c.ctx, "SELECT * FROM "+c.table+" LIMIT 0")
	if err != nil {
		return err
	}
	var columns []string
	for _, f := range rows.FieldDescriptions() {
		columns = append(columns, f.Name)
	}
	rows.Close()
	_, err = c.conn.CopyFrom(c.ctx, pgx.Identifier{c.table}, columns, pgx.CopyFromRows(c.rows))
	c.rows = c.rows[:0]
	return err
}

// directPostgres drives PostgreSQL from this process, each terminal on a connection of
// its own, at READ COMMITTED with the rows locked that decide: the district gives its
// order numbers by UPDATE … RETURNING, stock is locked in the order of the items by
// SELECT … FOR UPDATE, and so is the oldest new-order of a district. That is enough for
// the conditions; deadlocks are tried again.
type directPostgres struct{ url string }

func (d *directPostgres) open(ctx context.Context, _ int) (session, error) {
	conn, err := pgx.Connect(ctx, d.url)
	return &pgSession{conn}, err
}

func (d *directPostgres) close() error { return nil }

type pgSession struct{ conn *pgx.Conn }

func (s *pgSession) close() error { return s.conn.Close(context.Background()) }

// triesMax bounds how often a transaction is tried that others stand against.
const triesMax = 100

func (s *pgSession) do(ctx context.Context, c *call) (a answer, err error) {
	for range triesMax {
		a = answer{}
		err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
			t := pgTx{tx, ctx}
			switch c.verb {
			case newOrder:
				return t.newOrder(c)
			case payment:
				return t.payment(c)
			case orderStatus:
				return t.orderStatus(c)
			case delivery:
				var err error
				a.delivered, err = t.delivery(c)
				return err
			default:
				return t.stockLevel(c)
			}
		})
		if errors.Is(err, errVoid) {
			return answer{refused: true}, nil
		}
		var p *pgconn.PgError
		if !errors.As(err, &p) || p.Code != "40P01" && p.Code != "40001" {
			return a, err
		}
	}
	return a, err
}

type pgTx struct {
	pgx.Tx
	ctx context.Context
}

// one reads the one row of a query.
func (t pgTx) one(sql string, args []any, into ...any) error {
	return t.QueryRow(t.ctx, sql, args...).Scan(into...)
}

func (t pgTx) newOrder(c *call) error {
	var wTax, dTax, discount, number int
	var last, credit string
	err := t.one(`SELECT w_tax, c_discount, c_last, c_credit FROM warehouse, customer
		WHERE w_id = 1 AND c_w_id = 1 AND c_d_id = $1 AND c_id = $2`,
		[]any{c.district, c.customer}, &wTax, &discount, &last, &credit)
	if err != nil {
		return err
	}
	err = t.one(`UPDATE district SET d_next_o_id = d_next_o_id + 1
		WHERE d_w_id = 1 AND d_id = $1 RETURNING d_next_o_id - 1, d_tax`,
		[]any{c.district}, &number, &dTax)
	if err != nil {
		return err
	}
	ids := make([]int32, len(c.lines))
	for i, l := range c.lines {
		ids[i] = int32(l.item)
	}
	found, err := t.stock(c.district, ids)
	if err != nil {
		return err
	}
	if len(found) < len(ids) {
		return errVoid
	}
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO orders VALUES (1, $1, $2, $3, $4, NULL, $5, 1)`,
		c.district, number, c.customer, nowMilli(), len(c.lines))
	batch.Queue(`INSERT INTO new_order VALUES (1, $1, $2)`, c.district, number)
	sum := 0
	for i, l := range c.lines {
		s := found[l.item]
		amount := s.price * l.quantity
		sum += amount
		batch.Queue(`UPDATE stock SET s_quantity = $1, s_ytd = s_ytd + $2,
			s_order_cnt = s_order_cnt + 1 WHERE s_w_id = 1 AND s_i_id = $3`,
			restocked(s.quantity, l.quantity), l.quantity, l.item)
		batch.Queue(`INSERT INTO order_line VALUES (1, $1, $2, $3, $4, 1, NULL, $5, $6, $7)`,
			c.district, number, i+1, l.item, l.quantity, amount, s.info)
	}
	_ = orderTotal(sum, discount, wTax, dTax) // what a terminal would show
	return t.SendBatch(t.ctx, batch).Close()
}

// stocked is an item and what there is of it.
type stocked struct {
	price, quantity int
	info            string
	brand           bool
}

// stock locks and reads the stock of items, in one order for all.
func (t pgTx) stock(district int, items []int32) (map[int]stocked, error) {
	rows, err := t.Query(t.ctx, fmt.Sprintf(`SELECT i_id, i_price, i_name, i_data, s_quantity,
		s_data, s_dist_%02d FROM stock JOIN item ON i_id = s_i_id
		WHERE s_w_id = 1 AND s_i_id = ANY($1) ORDER BY s_i_id FOR UPDATE OF stock`, district),
		items)
	if err != nil {
		return nil, err
	}
	found := map[int]stocked{}
	var id int
	var name, itemData, data string
	var s stocked
	_, err = pgx.ForEachRow(rows,
		[]any{&id, &s.price, &name, &itemData, &s.quantity, &data, &s.info}, func() error {
			s.brand = strings.Contains(itemData, "ORIGINAL") && strings.Contains(data, "ORIGINAL")
			found[id] = s
			return nil
		})
	return found, err
}

// find returns the customer of a call, by number or by name.
func (t pgTx) find(c *call, lock string) (customer, error) {
	sql, by := customerColumns+`WHERE c_w_id = 1 AND c_d_id = $1 AND c_id = $2`+lock,
		any(c.customer)
	if c.customer == 0 {
		sql, by = customerColumns+`WHERE c_w_id = 1 AND c_d_id = $1 AND c_last = $2
			ORDER BY c_first`+lock, c.last
	}
	rows, err := t.Query(t.ctx, sql, c.district, by)
	if err != nil {
		return customer{}, err
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (w customer, err error) {
		return w, r.Scan(&w.id, &w.balance, &w.credit, &w.data)
	})
	if err == nil && len(all) == 0 {
		err = errNobody
	}
	if err != nil {
		return customer{}, err
	}
	return all[(len(all)+1)/2-1], nil
}

func (t pgTx) payment(c *call) error {
	var w, d string
	who, err := t.find(c, " FOR UPDATE")
	if err != nil {
		return err
	}
	// The district and the warehouse are wanted by all: they are locked late.
	data := ""
	if who.credit == "BC" {
		data = who.paid(c.district, c.amount)
	}
	_, err = t.Exec(t.ctx, `UPDATE customer SET c_balance = c_balance - $1,
		c_ytd_payment = c_ytd_payment + $1, c_payment_cnt = c_payment_cnt + 1,
		c_data = CASE c_credit WHEN 'BC' THEN $2 ELSE c_data END
		WHERE c_w_id = 1 AND c_d_id = $3 AND c_id = $4`, c.amount, data, c.district, who.id)
	if err != nil {
		return err
	}
	err = t.one(`UPDATE district SET d_ytd = d_ytd + $1 WHERE d_w_id = 1 AND d_id = $2
		RETURNING d_name`, []any{c.amount, c.district}, &d)
	if err != nil {
		return err
	}
	err = t.one(`UPDATE warehouse SET w_ytd = w_ytd + $1 WHERE w_id = 1 RETURNING w_name`,
		[]any{c.amount}, &w)
	if err != nil {
		return err
	}
	_, err = t.Exec(t.ctx, `INSERT INTO history VALUES (1, $1, $2, 1, $1, $3, $4, $5)`,
		c.district, who.id, nowMilli(), c.amount, w+"    "+d)
	return err
}

func (t pgTx) orderStatus(c *call) error {
	who, err := t.find(c, "")
	if err != nil {
		return err
	}
	var number int
	var entry int64
	var carrier *int
	err = t.one(`SELECT o_id, o_entry_d, o_carrier_id FROM orders
		WHERE o_w_id = 1 AND o_d_id = $1 AND o_c_id = $2 ORDER BY o_id DESC LIMIT 1`,
		[]any{c.district, who.id}, &number, &entry, &carrier)
	if err != nil {
		return err
	}
	rows, err := t.Query(t.ctx, `SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount,
		ol_delivery_d FROM order_line WHERE ol_w_id = 1 AND ol_d_id = $1 AND ol_o_id = $2`,
		c.district, number)
	if err != nil {
		return err
	}
	var item, supply, quantity, amount int
	var delivered *int64
	_, err = pgx.ForEachRow(rows, []any{&item, &supply, &quantity, &amount, &delivered},
		func() error { return nil })
	return err
}

func (t pgTx) delivery(c *call) (delivered int, err error) {
	now := nowMilli()
	for d := 1; d <= districts; d++ {
		var number, who, total int
		err := t.one(`SELECT no_o_id FROM new_order WHERE no_w_id = 1 AND no_d_id = $1
			ORDER BY no_o_id LIMIT 1 FOR UPDATE`, []any{d}, &number)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return 0, err
		}
		gone, err := t.Exec(t.ctx, `DELETE FROM new_order
			WHERE no_w_id = 1 AND no_d_id = $1 AND no_o_id = $2`, d, number)
		if err != nil {
			return 0, err
		}
		if gone.RowsAffected() == 0 {
			continue
		}
		err = t.one(`UPDATE orders SET o_carrier_id = $1
			WHERE o_w_id = 1 AND o_d_id = $2 AND o_id = $3 RETURNING o_c_id`,
			[]any{c.carrier, d, number}, &who)
		if err != nil {
			return 0, err
		}
		err = t.one(`WITH l AS (UPDATE order_line SET ol_delivery_d = $1
			WHERE ol_w_id = 1 AND ol_d_id = $2 AND ol_o_id = $3 RETURNING ol_amount)
			SELECT sum(ol_amount)::bigint FROM l`, []any{now, d, number}, &total)
		if err != nil {
			return 0, err
		}
		_, err = t.Exec(t.ctx, `UPDATE customer SET c_balance = c_balance + $1,
			c_delivery_cnt = c_delivery_cnt + 1 WHERE c_w_id = 1 AND c_d_id = $2 AND c_id = $3`,
			total, d, who)
		if err != nil {
			return 0, err
		}
		delivered++
	}
	return delivered, nil
}

func (t pgTx) stockLevel(c *call) error {
	var low int
	return t.one(`SELECT count(DISTINCT s_i_id) FROM district
		JOIN order_line ON ol_w_id = 1 AND ol_d_id = d_id
			AND ol_o_id >= d_next_o_id - 20 AND ol_o_id < d_next_o_id
		JOIN stock ON s_w_id = 1 AND s_i_id = ol_i_id AND s_quantity < $2
		WHERE d_w_id = 1 AND d_id = $1`, []any{c.district, c.threshold}, &low)
}
