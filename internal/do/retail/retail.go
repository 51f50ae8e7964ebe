// Package retail reads the invoices of examples/shop/invoices and makes of them what the shop
// can use: a clean catalogue, and orders that agree with the file to the penny. It works on
// values only; it opens no file and calls no server.
package retail

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// A Line is one line of the file: some pieces of one thing on one invoice.
type Line struct {
	// Invoice is the number of the invoice; one that begins with C was cancelled.
	Invoice string
	// Code is the stock code in capitals: the file writes some in both ways.
	Code string
	// Name is the description without stray blanks; it may be empty or a note.
	Name string
	// Quantity is below zero for what went back or was written off.
	Quantity int64
	// Price is that of one piece, in pence.
	Price int64
	// Customer is empty where the file names nobody.
	Customer string
}

var header = []string{
	"InvoiceNo", "StockCode", "Description", "Quantity",
	"InvoiceDate", "UnitPrice", "CustomerID", "Country",
}

// Read returns the lines of the file in its order. It errs with the number of the first
// line that it cannot read.
func Read(r io.Reader) ([]Line, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = len(header)
	first, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	for i, name := range header {
		if first[i] != name {
			return nil, fmt.Errorf("column %d is %q, want %q", i+1, first[i], name)
		}
	}
	var lines []Line
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		line, err := parseLine(row)
		if err != nil {
			at, _ := in.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
		lines = append(lines, line)
	}
}

func parseLine(row []string) (Line, error) {
	quantity, err := strconv.ParseInt(row[3], 10, 64)
	if err != nil {
		return Line{}, fmt.Errorf("quantity: %w", err)
	}
	price, err := ParsePence(row[5])
	if err != nil {
		return Line{}, err
	}
	return Line{
		Invoice:  strings.TrimSpace(row[0]),
		Code:     strings.ToUpper(strings.TrimSpace(row[1])),
		Name:     strings.Join(strings.Fields(row[2]), " "),
		Quantity: quantity,
		Price:    price,
		Customer: strings.TrimSpace(row[6]),
	}, nil
}

var pounds = regexp.MustCompile(`^(-?)([0-9]{1,12})(?:\.([0-9]{1,2}))?$`)

// ParsePence reads pounds as the file writes them ("2.1" is 210 pence), digit by digit: no
// float comes near money.
func ParsePence(text string) (int64, error) {
	m := pounds.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("price %q: want pounds with at most two decimals", text)
	}
	pence, err := strconv.ParseInt(m[1]+m[2]+(m[3] + "00")[:2], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("price: %w", err)
	}
	return pence, nil
}

// Cancelled reports whether the line is on a cancelled invoice.
func (l Line) Cancelled() bool { return strings.HasPrefix(l.Invoice, "C") }

// Sold reports whether the line says that pieces were sold for money.
func (l Line) Sold() bool { return !l.Cancelled() && l.Quantity > 0 && l.Price > 0 }

var goodsCode = regexp.MustCompile(`^[0-9]{5}[A-Z]{0,2}$`)

// Goods reports whether the line is about something that lies on a shelf. Such things have
// five digits and up to two letters; the rest (POST, DOT, C2, M, S, D, BANK CHARGES,
// AMAZONFEE) are postage, carriage, corrections, samples, discounts and fees.
func (l Line) Goods() bool { return goodsCode.MatchString(l.Code) }

// named reports whether the description is a product's name. Names hold capitals; what the
// warehouse noted on a line ("?", "check", "damages", "amazon") does not.
func (l Line) named() bool { return strings.ToLower(l.Name) != l.Name }
