// Command goapp is the app of bench/app with its checkout in Go: the whole galley
// command, for the benchmark to compare the two languages.
package main

import (
	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/bench/app"
	"github.com/galleybackend/galley/bench/goapp/shop"
)

func main() {
	g := galley.New(app.Files)
	galley.Action(g, "checkout", checkout)
	g.Main()
}

func checkout(tx *galley.Tx, in shop.CheckoutInput) (out shop.CheckoutOutput, err error) {
	db := shop.DB(tx)
	var total int64
	var lines []shop.OrderItem
	for _, item := range in.Items {
		product, err := db.Products.Get(item.Product)
		if err != nil {
			return out, err
		}
		if !product.Listed {
			return out, galley.Refuse(shop.NotFound, "product", string(product.ID))
		}
		product.Stock -= item.Quantity
		if _, err := db.Products.Update(product); err != nil {
			return out, err
		}
		lines = append(lines, shop.OrderItem{
			Product: product.ID, Quantity: item.Quantity, Price: product.Price,
		})
		total += product.Price * item.Quantity
	}
	buyer := shop.Me(tx)
	buyer.Wallet -= total
	if buyer, err = db.Users.Update(buyer); err != nil {
		return out, err
	}
	order, err := db.Orders.Insert(shop.Order{Customer: buyer.ID, Total: total})
	if err != nil {
		return out, err
	}
	for _, line := range lines {
		line.Order = order.ID
		if _, err := db.OrderItems.Insert(line); err != nil {
			return out, err
		}
	}
	return shop.CheckoutOutput{Order: order.ID, Balance: buyer.Wallet}, nil
}
