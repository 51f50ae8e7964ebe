// Command goapp is the app of bench/tpcc/app with its five transactions in Go: the
// whole galley command, for the benchmark to compare the two languages.
package main

import (
	"slices"

	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/bench/tpcc/app"
	"github.com/galleybackend/galley/bench/tpcc/goapp/tpcc"
)

func main() {
	g := galley.New(app.Files)
	galley.Action(g, "new_order", newOrder)
	galley.Action(g, "payment", payment)
	galley.Action(g, "order_status", orderStatus)
	galley.Action(g, "delivery", delivery)
	galley.Action(g, "stock_level", stockLevel)
	g.Main()
}

// find returns a customer by id, or the one in the middle of those in a district who
// bear the name, in the order of their first names.
func find(db tpcc.Tables, id *tpcc.CustomerID, home *tpcc.DistrictID, last *string) (
	c tpcc.Customer, err error,
) {
	switch {
	case id != nil:
		return db.Customers.Get(*id)
	case home == nil || last == nil:
		return c, galley.Refuse(tpcc.InvalidInput)
	}
	all, err := db.Customers.List(galley.List{
		Where: galley.Fields{"district": *home, "last": *last}, Sort: "first",
	})
	if err == nil && len(all) == 0 {
		err = galley.Refuse(tpcc.NotFound)
	}
	if err != nil {
		return c, err
	}
	return all[(len(all)+1)/2-1], nil
}

func orderStatus(tx *galley.Tx, in tpcc.OrderStatusInput) (out tpcc.OrderStatusOutput, err error) {
	db := tpcc.DB(tx)
	c, err := find(db, in.Customer, in.Home, in.Last)
	if err != nil {
		return out, err
	}
	found, err := db.Orders.List(galley.List{
		Where: galley.Fields{"customer": c.ID}, Sort: "-number", Limit: 1,
	})
	if err == nil && len(found) == 0 {
		err = galley.Refuse(tpcc.NotFound)
	}
	if err != nil {
		return out, err
	}
	order := found[0]
	lines, err := db.OrderLines.List(galley.List{
		Where: galley.Fields{"order": order.ID}, Sort: "number",
	})
	for _, l := range lines {
		out.Lines = append(out.Lines, tpcc.OrderStatusOutputLine{
			Stock: l.Stock, Quantity: l.Quantity, Amount: l.Amount, Delivered: l.Delivered,
		})
	}
	out.Customer, out.Balance = c.ID, c.Balance
	out.Order, out.Number, out.Carrier = order.ID, order.Number, order.Carrier
	return out, err
}

const (
	// lastOrders is how many orders of a district stockLevel looks at.
	lastOrders = 20
	// boundMax is how many items a list has that is bound into a condition.
	boundMax = 100
)

func stockLevel(tx *galley.Tx, in tpcc.StockLevelInput) (out tpcc.StockLevelOutput, err error) {
	db := tpcc.DB(tx)
	district, err := db.Districts.Get(in.District)
	if err != nil {
		return out, err
	}
	orders, err := db.Orders.List(galley.List{Limit: lastOrders,
		Where: galley.CEL("district == d && number >= first",
			"d", string(in.District), "first", district.NextOrder-lastOrders)})
	if err != nil {
		return out, err
	}
	ids := make([]string, len(orders))
	for i, o := range orders {
		ids[i] = string(o.ID)
	}
	lines, err := db.OrderLines.List(galley.List{Where: galley.CEL("order in ids", "ids", ids)})
	if err != nil {
		return out, err
	}
	seen := map[tpcc.StockID]bool{}
	var stock []string
	for _, l := range lines {
		if !seen[l.Stock] {
			seen[l.Stock] = true
			stock = append(stock, string(l.Stock))
		}
	}
	for some := range slices.Chunk(stock, boundMax) {
		n, err := db.Stock.Count(galley.CEL("id in stock_ids && quantity < few",
			"stock_ids", some, "few", in.Threshold))
		if err != nil {
			return out, err
		}
		out.Low += n
	}
	return out, nil
}
