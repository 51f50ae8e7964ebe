package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// errNobody is a customer, or an order of one, that is not there.
var errNobody = errors.New("no such customer or order")

func (l *lite) newOrder(c *call) error {
	var wTax, dTax, discount, number int
	err := l.run(`SELECT w_tax FROM warehouse WHERE w_id = 1`,
		func(r *sqlite3.Stmt) { wTax = r.ColumnInt(0) })
	if err != nil {
		return err
	}
	err = l.run(`SELECT c_discount, c_last, c_credit FROM customer
		WHERE c_w_id = 1 AND c_d_id = ? AND c_id = ?`,
		func(r *sqlite3.Stmt) { discount = r.ColumnInt(0) }, c.district, c.customer)
	if err != nil {
		return err
	}
	err = l.run(`UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = 1 AND d_id = ?
		RETURNING d_next_o_id - 1, d_tax`,
		func(r *sqlite3.Stmt) { number, dTax = r.ColumnInt(0), r.ColumnInt(1) }, c.district)
	if err != nil {
		return err
	}
	err = l.run(`INSERT INTO orders VALUES (1, ?, ?, ?, ?, NULL, ?, 1)`, nil,
		c.district, number, c.customer, nowMilli(), len(c.lines))
	if err != nil {
		return err
	}
	if err := l.run(`INSERT INTO new_order VALUES (1, ?, ?)`, nil, c.district, number); err != nil {
		return err
	}
	sum := 0
	for i, line := range c.lines {
		amount, err := l.orderLine(c, number, i+1, line)
		if err != nil {
			return err
		}
		sum += amount
	}
	_ = orderTotal(sum, discount, wTax, dTax) // what a terminal would show
	return nil
}

// orderTotal is what an order comes to.
func orderTotal(sum, discount, wTax, dTax int) int {
	const whole = 10_000
	return sum * (whole - discount) * (whole + wTax + dTax) / (whole * whole)
}

func (l *lite) orderLine(c *call, number, n int, line callLine) (amount int, err error) {
	price, itemData := 0, ""
	err = l.run(`SELECT i_price, i_name, i_data FROM item WHERE i_id = ?`,
		func(r *sqlite3.Stmt) { price, itemData = r.ColumnInt(0), r.ColumnText(2) }, line.item)
	if err != nil {
		return 0, err
	}
	if price == 0 {
		return 0, errVoid
	}
	quantity, data, info := 0, "", ""
	err = l.run(fmt.Sprintf(`SELECT s_quantity, s_data, s_dist_%02d FROM stock
		WHERE s_w_id = 1 AND s_i_id = ?`, c.district), func(r *sqlite3.Stmt) {
		quantity, data, info = r.ColumnInt(0), r.ColumnText(1), r.ColumnText(2)
	}, line.item)
	if err != nil {
		return 0, err
	}
	_ = strings.Contains(itemData, "ORIGINAL") && strings.Contains(data, "ORIGINAL")
	err = l.run(`UPDATE stock SET s_quantity = ?, s_ytd = s_ytd + ?, s_order_cnt = s_order_cnt + 1
		WHERE s_w_id = 1 AND s_i_id = ?`, nil, restocked(quantity, line.quantity),
		line.quantity, line.item)
	if err != nil {
		return 0, err
	}
	amount = price * line.quantity
	return amount, l.run(`INSERT INTO order_line VALUES (1, ?, ?, ?, ?, 1, NULL, ?, ?, ?)`, nil,
		c.district, number, n, line.item, line.quantity, amount, info)
}

// restocked is what is left of a stock, which is filled up when it runs low.
func restocked(had, taken int) int {
	if left := had - taken; left >= 10 {
		return left
	}
	return had - taken + 91
}

// customer is what a Payment and an Order-Status need to know.
type customer struct {
	id           int
	balance      int
	credit, data string
}

const customerColumns = `SELECT c_id, c_balance, c_credit, c_data FROM customer `

// find returns the customer of a call, by number or by name.
func (l *lite) find(c *call) (customer, error) {
	var all []customer
	each := func(r *sqlite3.Stmt) {
		all = append(all, customer{r.ColumnInt(0), r.ColumnInt(1), r.ColumnText(2),
			r.ColumnText(3)})
	}
	var err error
	if c.customer > 0 {
		err = l.run(customerColumns+`WHERE c_w_id = 1 AND c_d_id = ? AND c_id = ?`, each,
			c.district, c.customer)
	} else {
		err = l.run(customerColumns+`WHERE c_w_id = 1 AND c_d_id = ? AND c_last = ?
			ORDER BY c_first`, each, c.district, c.last)
	}
	if err == nil && len(all) == 0 {
		err = errNobody
	}
	if err != nil {
		return customer{}, err
	}
	return all[(len(all)+1)/2-1], nil
}

// paid is the text of a customer with bad credit after a payment.
func (c *customer) paid(district, amount int) string {
	data := fmt.Sprintf("%d %d %d 1 %d %s", c.id, district, district, amount, c.data)
	return data[:min(len(data), 500)]
}

func (l *lite) payment(c *call) error {
	w, d := "", ""
	err := l.run(`UPDATE warehouse SET w_ytd = w_ytd + ? WHERE w_id = 1
		RETURNING w_name, w_street_1, w_street_2, w_city, w_state, w_zip`,
		func(r *sqlite3.Stmt) { w = r.ColumnText(0) }, c.amount)
	if err != nil {
		return err
	}
	err = l.run(`UPDATE district SET d_ytd = d_ytd + ? WHERE d_w_id = 1 AND d_id = ?
		RETURNING d_name, d_street_1, d_street_2, d_city, d_state, d_zip`,
		func(r *sqlite3.Stmt) { d = r.ColumnText(0) }, c.amount, c.district)
	if err != nil {
		return err
	}
	who, err := l.find(c)
	if err != nil {
		return err
	}
	if who.credit == "BC" {
		err = l.run(`UPDATE customer SET c_balance = c_balance - ?1,
			c_ytd_payment = c_ytd_payment + ?1, c_payment_cnt = c_payment_cnt + 1, c_data = ?2
			WHERE c_w_id = 1 AND c_d_id = ?3 AND c_id = ?4`, nil,
			c.amount, who.paid(c.district, c.amount), c.district, who.id)
	} else {
		err = l.run(`UPDATE customer SET c_balance = c_balance - ?1,
			c_ytd_payment = c_ytd_payment + ?1, c_payment_cnt = c_payment_cnt + 1
			WHERE c_w_id = 1 AND c_d_id = ?2 AND c_id = ?3`, nil, c.amount, c.district, who.id)
	}
	if err != nil {
		return err
	}
	return l.run(`INSERT INTO history VALUES (1, ?1, ?2, 1, ?1, ?3, ?4, ?5)`, nil,
		c.district, who.id, nowMilli(), c.amount, w+"    "+d)
}

func (l *lite) orderStatus(c *call) error {
	who, err := l.find(c)
	if err != nil {
		return err
	}
	number := 0
	err = l.run(`SELECT o_id, o_entry_d, o_carrier_id FROM orders
		WHERE o_w_id = 1 AND o_d_id = ? AND o_c_id = ? ORDER BY o_id DESC LIMIT 1`,
		func(r *sqlite3.Stmt) { number = r.ColumnInt(0) }, c.district, who.id)
	if err != nil {
		return err
	}
	if number == 0 {
		return errNobody
	}
	return l.run(`SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d
		FROM order_line WHERE ol_w_id = 1 AND ol_d_id = ? AND ol_o_id = ?`,
		func(r *sqlite3.Stmt) { _ = r.ColumnInt(3) }, c.district, number)
}

func (l *lite) delivery(c *call) (delivered int, err error) {
	now := nowMilli()
	for d := 1; d <= districts; d++ {
		number, who, total := 0, 0, 0
		err := l.run(`SELECT no_o_id FROM new_order WHERE no_w_id = 1 AND no_d_id = ?
			ORDER BY no_o_id LIMIT 1`, func(r *sqlite3.Stmt) { number = r.ColumnInt(0) }, d)
		if err != nil {
			return 0, err
		}
		if number == 0 {
			continue
		}
		for _, step := range []struct {
			sql  string
			each func(*sqlite3.Stmt)
			args []any
		}{
			{`DELETE FROM new_order WHERE no_w_id = 1 AND no_d_id = ? AND no_o_id = ?`, nil,
				[]any{d, number}},
			{`UPDATE orders SET o_carrier_id = ? WHERE o_w_id = 1 AND o_d_id = ? AND o_id = ?
				RETURNING o_c_id`, func(r *sqlite3.Stmt) { who = r.ColumnInt(0) },
				[]any{c.carrier, d, number}},
			{`UPDATE order_line SET ol_delivery_d = ?
				WHERE ol_w_id = 1 AND ol_d_id = ? AND ol_o_id = ? RETURNING ol_amount`,
				func(r *sqlite3.Stmt) { total += r.ColumnInt(0) }, []any{now, d, number}},
		} {
			if err := l.run(step.sql, step.each, step.args...); err != nil {
				return 0, err
			}
		}
		err = l.run(`UPDATE customer SET c_balance = c_balance + ?,
			c_delivery_cnt = c_delivery_cnt + 1 WHERE c_w_id = 1 AND c_d_id = ? AND c_id = ?`,
			nil, total, d, who)
		if err != nil {
			return 0, err
		}
		delivered++
	}
	return delivered, nil
}

func (l *lite) stockLevel(c *call) error {
	return l.run(`SELECT count(DISTINCT s_i_id) FROM district
		JOIN order_line ON ol_w_id = 1 AND ol_d_id = d_id
			AND ol_o_id >= d_next_o_id - 20 AND ol_o_id < d_next_o_id
		JOIN stock ON s_w_id = 1 AND s_i_id = ol_i_id AND s_quantity < ?2
		WHERE d_w_id = 1 AND d_id = ?1`,
		func(r *sqlite3.Stmt) { _ = r.ColumnInt(0) }, c.district, c.threshold)
}
