package main

import "time"

// table is one of the nine with its rows. The numbers are those of the specification; a
// place makes of them what its database needs.
type (
	warehouseRow struct {
		Name    string
		Address address
		Tax     int
		Paid    int
	}
	districtRow struct {
		D       int
		Name    string
		Address address
		Tax     int
		Paid    int
		Next    int
	}
	customerRow struct {
		D, C        int
		First, Last string
		Address     address
		Phone       string
		Credit      string
		Discount    int
		Data        string
	}
	historyRow struct {
		D, C int
		Data string
	}
	itemRow struct {
		I, Image, Price int
		Name, Data      string
	}
	stockRow struct {
		I, Quantity int
		Info        [districts]string
		Data        string
	}
	orderRow struct {
		D, O, C, Carrier, Lines int
	}
	lineRow struct {
		D, O, N, I, Amount int
		Delivered          bool
		Info               string
	}
	address struct{ Street1, Street2, City, State, Zip string }
)

// Every customer has paid once, and starts with a debt of as much.
const (
	firstPayment = 10_00
	creditLimit  = 50_000_00
	firstPieces  = 5 // of every line of the first orders
)

// place is where the rows of a load go. Tables come one after the other, in the order
// of the methods, so that what a row points at is there before it.
type place interface {
	item(itemRow) error
	warehouse(warehouseRow) error
	district(districtRow) error
	customer(customerRow) error
	history(historyRow) error
	stock(stockRow) error
	order(orderRow) error
	newOrder(orderRow) error
	line(lineRow) error
}

// loadTime is when the first orders were entered and the first payments made.
var loadTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// generate draws the rows of a scale from a seed.
func generate(s scale, seed uint64, to place) error {
	g := generator{scale: s, to: to, chance: newChance(seed, 1)}
	for _, step := range []func() error{
		g.items, g.places, g.customers, g.histories, g.stock, g.orders, g.lines,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type generator struct {
	scale
	chance
	to     place
	counts [districts + 1][]int // the lines of each order of a district
}

func (g *generator) address() address {
	return address{g.text(10, 20), g.text(10, 20), g.text(10, 20), g.text(2, 2), g.zip()}
}

func (g *generator) items() error {
	for i := 1; i <= g.Items; i++ {
		err := g.to.item(itemRow{I: i, Image: g.between(1, 10_000), Name: g.text(14, 24),
			Price: g.between(1_00, 100_00), Data: g.data()})
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) places() error {
	paid := g.Customers * firstPayment
	err := g.to.warehouse(warehouseRow{Name: g.text(6, 10), Address: g.address(),
		Tax: g.between(0, 2000), Paid: districts * paid})
	for d := 1; d <= districts && err == nil; d++ {
		err = g.to.district(districtRow{D: d, Name: g.text(6, 10), Address: g.address(),
			Tax: g.between(0, 2000), Paid: paid, Next: g.Customers + 1})
	}
	return err
}

func (g *generator) customers() error {
	for d := 1; d <= districts; d++ {
		for c := 1; c <= g.Customers; c++ {
			name := c - 1
			if name >= 1000 {
				name = g.uneven(255, unevenLoad, 0, 999)
			}
			credit := "GC"
			if g.IntN(10) == 0 {
				credit = "BC"
			}
			err := g.to.customer(customerRow{D: d, C: c, First: g.text(8, 16),
				Last: lastName(name), Address: g.address(), Phone: g.digits(16),
				Credit: credit, Discount: g.between(0, 5000), Data: g.text(300, 500)})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *generator) histories() error {
	for d := 1; d <= districts; d++ {
		for c := 1; c <= g.Customers; c++ {
			if err := g.to.history(historyRow{d, c, g.text(12, 24)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *generator) stock() error {
	for i := 1; i <= g.Items; i++ {
		row := stockRow{I: i, Quantity: g.between(10, 100), Data: g.data()}
		for d := range row.Info {
			row.Info[d] = g.text(24, 24)
		}
		if err := g.to.stock(row); err != nil {
			return err
		}
	}
	return nil
}

// orders gives every customer one, in an order drawn for the district; the last of them
// have yet to be delivered.
func (g *generator) orders() error {
	var due []orderRow
	for d := 1; d <= districts; d++ {
		g.counts[d] = make([]int, g.Customers+1)
		for o, c := range g.Perm(g.Customers) {
			row := orderRow{D: d, O: o + 1, C: c + 1, Lines: g.between(5, 15)}
			if row.O <= g.delivered() {
				row.Carrier = g.between(1, 10)
			} else {
				due = append(due, row)
			}
			g.counts[d][row.O] = row.Lines
			if err := g.to.order(row); err != nil {
				return err
			}
		}
	}
	for _, row := range due {
		if err := g.to.newOrder(row); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) lines() error {
	for d := 1; d <= districts; d++ {
		for o := 1; o <= g.Customers; o++ {
			for n := 1; n <= g.counts[d][o]; n++ {
				row := lineRow{D: d, O: o, N: n, I: g.between(1, g.Items),
					Delivered: o <= g.delivered(), Info: g.text(24, 24)}
				if !row.Delivered {
					row.Amount = g.between(1, 9_999_99)
				}
				if err := g.to.line(row); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
