package main

// rows makes the rows of the direct drivers' tables, in the order of their columns.
type rows struct {
	insert func(table string, values ...any) error
}

func (p *rows) item(r itemRow) error {
	return p.insert("item", r.I, r.Image, r.Price, r.Name, r.Data)
}

func (p *rows) warehouse(r warehouseRow) error {
	a := r.Address
	return p.insert("warehouse", 1, r.Name, a.Street1, a.Street2, a.City, a.State, a.Zip, r.Tax,
		r.Paid)
}

func (p *rows) district(r districtRow) error {
	a := r.Address
	return p.insert("district", 1, r.D, r.Name, a.Street1, a.Street2, a.City, a.State, a.Zip,
		r.Tax, r.Paid, r.Next)
}

func (p *rows) customer(r customerRow) error {
	a := r.Address
	return p.insert("customer", 1, r.D, r.C, r.First, "OE", r.Last, a.Street1, a.Street2, a.City,
		a.State, a.Zip, r.Phone, int(loadTime.UnixMilli()), r.Credit, creditLimit, r.Discount,
		-firstPayment, firstPayment, 1, 0, r.Data)
}

func (p *rows) history(r historyRow) error {
	return p.insert("history", 1, r.D, r.C, 1, r.D, int(loadTime.UnixMilli()), firstPayment,
		r.Data)
}

func (p *rows) stock(r stockRow) error {
	values := []any{1, r.I, r.Quantity, 0, 0, 0, r.Data}
	for _, info := range r.Info {
		values = append(values, info)
	}
	return p.insert("stock", values...)
}

func (p *rows) order(r orderRow) error {
	var carrier any
	if r.Carrier > 0 {
		carrier = r.Carrier
	}
	return p.insert("orders", 1, r.D, r.O, r.C, int(loadTime.UnixMilli()), carrier, r.Lines, 1)
}

func (p *rows) newOrder(r orderRow) error { return p.insert("new_order", 1, r.D, r.O) }

func (p *rows) line(r lineRow) error {
	var when any
	if r.Delivered {
		when = int(loadTime.UnixMilli())
	}
	return p.insert("order_line", 1, r.D, r.O, r.N, r.I, 1, when, firstPieces, r.Amount, r.Info)
}
