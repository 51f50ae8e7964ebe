package main

import (
	"fmt"
	"strings"

	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/bench/tpcc/goapp/tpcc"
)

func newOrder(tx *galley.Tx, in tpcc.NewOrderInput) (out tpcc.NewOrderOutput, err error) {
	db := tpcc.DB(tx)
	district, err := db.Districts.Get(in.District)
	if err != nil {
		return out, err
	}
	warehouse, err := db.Warehouses.Get(district.Warehouse)
	if err != nil {
		return out, err
	}
	customer, err := db.Customers.Get(in.Customer)
	if err != nil {
		return out, err
	}
	out.Number = district.NextOrder
	district.NextOrder++
	if district, err = db.Districts.Update(district); err != nil {
		return out, err
	}
	order := tpcc.Order{District: district.ID, Number: out.Number, Customer: customer.ID,
		Lines: int64(len(in.Lines)), Local: true}
	lines := make([]tpcc.OrderLine, len(in.Lines))
	var sum int64
	for i, l := range in.Lines {
		stock, err := db.Stock.Get(l.Stock) // an item that is not there ends the call here
		if err != nil {
			return out, err
		}
		item, err := db.Items.Get(stock.Item)
		if err != nil {
			return out, err
		}
		had := stock.Quantity
		take(&stock, l.Quantity, stock.Warehouse == warehouse.ID)
		order.Local = order.Local && stock.Warehouse == warehouse.ID
		if _, err := db.Stock.Update(stock); err != nil {
			return out, err
		}
		amount := l.Quantity * item.Price
		sum += amount
		lines[i] = tpcc.OrderLine{Number: int64(i + 1), Stock: stock.ID, Quantity: l.Quantity,
			Amount: amount, Info: stock.Info[district.Number-1]}
		out.Lines = append(out.Lines, tpcc.NewOrderOutputLine{
			Name: item.Name, Price: item.Price, Amount: amount, Stock: had,
			Brand: original(item.Data) && original(stock.Data),
		})
	}
	if order, err = db.Orders.Insert(order); err != nil {
		return out, err
	}
	_, err = db.NewOrders.Insert(tpcc.NewOrder{
		Order: order.ID, District: district.ID, Number: order.Number,
	})
	if err != nil {
		return out, err
	}
	for _, l := range lines {
		l.Order = order.ID
		if _, err := db.OrderLines.Insert(l); err != nil {
			return out, err
		}
	}
	const whole = 10_000 // of a tax or a discount
	out.Order = order.ID
	out.Total = sum * (whole - customer.Discount) * (whole + warehouse.Tax + district.Tax) /
		(whole * whole)
	return out, nil
}

// take takes pieces from the stock, which is filled up when it runs low.
func take(s *tpcc.Stock, pieces int64, home bool) {
	s.Quantity -= pieces
	if s.Quantity < 10 {
		s.Quantity += 91
	}
	s.Ytd += pieces
	s.Orders++
	if !home {
		s.Remote++
	}
}

func original(data string) bool { return strings.Contains(data, "ORIGINAL") }

func payment(tx *galley.Tx, in tpcc.PaymentInput) (out tpcc.PaymentOutput, err error) {
	db := tpcc.DB(tx)
	c, err := find(db, in.Customer, in.Home, in.Last)
	if err != nil {
		return out, err
	}
	paid := galley.Fields{"ytd": galley.Add(in.Amount)}
	district, err := db.Districts.Patch(in.District, paid)
	if err != nil {
		return out, err
	}
	warehouse, err := db.Warehouses.Patch(district.Warehouse, paid)
	if err != nil {
		return out, err
	}
	if c.Credit == tpcc.CustomerCreditBC {
		home, err := db.Districts.Get(c.District)
		if err != nil {
			return out, err
		}
		const dataMax, shown = 500, 200
		data := fmt.Sprintf("%d %d %d %d %d %s", c.Number, home.Number, district.Number,
			warehouse.Number, in.Amount, c.Data)
		c.Data = data[:min(len(data), dataMax)]
		data = data[:min(len(data), shown)]
		out.Data = &data
	}
	c.Balance -= in.Amount
	c.YtdPayment += in.Amount
	c.Payments++
	if c, err = db.Customers.Update(c); err != nil {
		return out, err
	}
	_, err = db.History.Insert(tpcc.History{
		Customer: c.ID, District: district.ID, Amount: in.Amount,
		Data: warehouse.Name + "    " + district.Name,
	})
	out.Customer, out.Balance = c.ID, c.Balance
	out.Credit = tpcc.PaymentOutputCredit(c.Credit)
	return out, err
}

// due is the oldest order of a district and its lines.
type due struct {
	oldest tpcc.NewOrder
	lines  []tpcc.OrderLine
}

func delivery(tx *galley.Tx, in tpcc.DeliveryInput) (out tpcc.DeliveryOutput, err error) {
	db := tpcc.DB(tx)
	districts, err := db.Districts.List(galley.List{
		Where: galley.Fields{"warehouse": in.Warehouse}, Sort: "number",
	})
	if err != nil {
		return out, err
	}
	// All is read before anything is written: then the call can run beside others.
	var all []due
	for _, d := range districts {
		oldest, err := db.NewOrders.List(galley.List{
			Where: galley.Fields{"district": d.ID}, Sort: "number", Limit: 1,
		})
		if err != nil {
			return out, err
		}
		if len(oldest) == 0 {
			continue // nothing to deliver here
		}
		lines, err := db.OrderLines.List(galley.List{
			Where: galley.Fields{"order": oldest[0].Order},
		})
		if err != nil {
			return out, err
		}
		all = append(all, due{oldest[0], lines})
	}
	for _, d := range all {
		if err := deliver(tx, db, d, in.Carrier); err != nil {
			return out, err
		}
	}
	return tpcc.DeliveryOutput{Delivered: int64(len(all))}, nil
}

func deliver(tx *galley.Tx, db tpcc.Tables, d due, carrier int64) error {
	if err := db.NewOrders.Delete(d.oldest.ID); err != nil {
		return err
	}
	order, err := db.Orders.Patch(d.oldest.Order, galley.Fields{"carrier": carrier})
	if err != nil {
		return err
	}
	now := tx.Now()
	var total int64
	for _, l := range d.lines {
		l.Delivered = &now
		if _, err := db.OrderLines.Update(l); err != nil {
			return err
		}
		total += l.Amount
	}
	_, err = db.Customers.Patch(order.Customer, galley.Fields{
		"balance": galley.Add(total), "deliveries": galley.Add(1),
	})
	return err
}
