package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// files writes the rows as JSON Lines for galley import, one file a collection.
type files struct {
	dir  string
	open []*file // in the order in which they must be imported
}

// file is the lines of one collection.
type file struct {
	collection string
	path       string
	file       *os.File
	buffer     *bufio.Writer
	encoder    *json.Encoder
}

type fields map[string]any

func (f *files) put(collection string, row fields) error {
	if n := len(f.open); n > 0 && f.open[n-1].collection == collection {
		return f.open[n-1].encoder.Encode(row)
	}
	for _, o := range f.open {
		if o.collection == collection {
			return o.encoder.Encode(row)
		}
	}
	path := filepath.Join(f.dir, collection+".jsonl")
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(out, 1<<16)
	o := &file{collection, path, out, buffer, json.NewEncoder(buffer)}
	f.open = append(f.open, o)
	return o.encoder.Encode(row)
}

func (f *files) close() error {
	var all []error
	for _, o := range f.open {
		all = append(all, o.buffer.Flush(), o.file.Close())
	}
	return errors.Join(all...)
}

func (a address) into(row fields) fields {
	row["street_1"], row["street_2"], row["city"] = a.Street1, a.Street2, a.City
	row["state"], row["zip"] = a.State, a.Zip
	return row
}

func (f *files) item(r itemRow) error {
	return f.put("items", fields{"id": itemID(r.I), "number": r.I, "image": r.Image,
		"name": r.Name, "price": r.Price, "data": r.Data})
}

func (f *files) warehouse(r warehouseRow) error {
	return f.put("warehouses", r.Address.into(fields{"id": warehouseID(), "number": 1,
		"name": r.Name, "tax": r.Tax, "ytd": r.Paid}))
}

func (f *files) district(r districtRow) error {
	return f.put("districts", r.Address.into(fields{"id": districtID(r.D),
		"warehouse": warehouseID(), "number": r.D, "name": r.Name, "tax": r.Tax,
		"ytd": r.Paid, "next_order": r.Next}))
}

func (f *files) customer(r customerRow) error {
	return f.put("customers", r.Address.into(fields{"id": customerID(r.D, r.C),
		"district": districtID(r.D), "number": r.C, "first": r.First, "middle": "OE",
		"last": r.Last, "phone": r.Phone, "credit": r.Credit, "credit_limit": creditLimit,
		"discount": r.Discount, "balance": -firstPayment, "ytd_payment": firstPayment,
		"payments": 1, "deliveries": 0, "data": r.Data}))
}

func (f *files) history(r historyRow) error {
	return f.put("history", fields{"customer": customerID(r.D, r.C),
		"district": districtID(r.D), "amount": firstPayment, "data": r.Data})
}

func (f *files) stock(r stockRow) error {
	return f.put("stock", fields{"id": stockID(r.I), "warehouse": warehouseID(),
		"item": itemID(r.I), "quantity": r.Quantity, "ytd": 0, "orders": 0, "remote": 0,
		"info": r.Info, "data": r.Data})
}

func (f *files) order(r orderRow) error {
	row := fields{"id": orderID(r.D, r.O), "district": districtID(r.D), "number": r.O,
		"customer": customerID(r.D, r.C), "lines": r.Lines, "local": true}
	if r.Carrier > 0 {
		row["carrier"] = r.Carrier
	}
	return f.put("orders", row)
}

func (f *files) newOrder(r orderRow) error {
	return f.put("new_orders", fields{"order": orderID(r.D, r.O),
		"district": districtID(r.D), "number": r.O})
}

func (f *files) line(r lineRow) error {
	row := fields{"order": orderID(r.D, r.O), "number": r.N, "stock": stockID(r.I),
		"quantity": firstPieces, "amount": r.Amount, "info": r.Info}
	if r.Delivered {
		row["delivered"] = loadTime.Format("2006-01-02T15:04:05.000Z")
	}
	return f.put("order_lines", row)
}
