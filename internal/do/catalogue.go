package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/galleybackend/galley/internal/do/retail"
	"github.com/galleybackend/galley/internal/ident"
)

// The records of the seed, each with its fields in the order in which they are written.
type (
	seedProduct struct {
		ID     ident.Record `json:"id"`
		Code   string       `json:"code"`
		Name   string       `json:"name"`
		Price  int64        `json:"price"`
		Stock  int64        `json:"stock"`
		Listed bool         `json:"listed"`
	}
	seedUser struct {
		ID       ident.Record `json:"id"`
		Email    string       `json:"email"`
		Password string       `json:"password"`
		Name     string       `json:"name"`
		Wallet   int64        `json:"wallet"`
		Verified bool         `json:"verified"`
	}
	seedVoucher struct {
		ID     ident.Record `json:"id"`
		Code   string       `json:"code"`
		Amount int64        `json:"amount"`
		Limit  int64        `json:"limit"`
	}
	seedDiscount struct {
		ID      ident.Record `json:"id"`
		Code    string       `json:"code"`
		Percent int64        `json:"percent"`
		Limit   int64        `json:"limit"`
	}
)

// runCatalogue writes the shop's seed from its invoices. The same file gives the same seed,
// byte for byte.
func runCatalogue(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("catalogue", flag.ContinueOnError)
	app := flags.String("app", "examples/shop", "the folder of the shop")
	if err := flags.Parse(args); err != nil {
		return err
	}
	lines, err := readInvoices(*app)
	if err != nil {
		return err
	}
	products := seedProducts(retail.Catalogue(lines))
	files := []struct {
		name string
		text []byte
	}{
		{"products", jsonLines(products)},
		{"users", jsonLines(seedUsers())},
		{"vouchers", jsonLines(seedVouchers())},
		{"discounts", jsonLines(seedDiscounts())},
	}
	for _, f := range files {
		path := filepath.Join(*app, "seed", f.name+".jsonl")
		if err := os.WriteFile(path, f.text, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%d products from %d lines\n", len(products), len(lines))
	return nil
}

func readInvoices(app string) ([]retail.Line, error) {
	path := filepath.Join(app, "invoices", "online-retail.csv")
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	lines, err := retail.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return lines, nil
}

func seedProducts(catalogue []retail.Product) []seedProduct {
	var seed []seedProduct
	for _, p := range catalogue {
		seed = append(seed, seedProduct{
			ID: seedID("products", p.Code), Code: p.Code, Name: p.Name,
			Price: p.Price, Stock: p.Stock, Listed: true,
		})
	}
	return seed
}

func seedUsers() []seedUser {
	user := func(name, email string, wallet int64) seedUser {
		return seedUser{seedID("users", email), email, "password", name, wallet, true}
	}
	return []seedUser{
		user("Ana", "ana@example.com", 5000),
		user("Bo", "bo@example.com", 250),
		user("Cleo", "cleo@example.com", 1000000),
	}
}

func seedVouchers() []seedVoucher {
	voucher := func(code string, amount, limit int64) seedVoucher {
		return seedVoucher{seedID("vouchers", code), code, amount, limit}
	}
	return []seedVoucher{
		voucher("WELCOME50", 5000, 100000),
		voucher("FIRSTONE", 2500, 1),
	}
}

func seedDiscounts() []seedDiscount {
	discount := func(code string, percent, limit int64) seedDiscount {
		return seedDiscount{seedID("discounts", code), code, percent, limit}
	}
	return []seedDiscount{
		discount("HEART10", 10, 100000),
		discount("LASTCHANCE", 25, 1),
	}
}

// seedID derives a record's id from what names it, so that every seed gives the same ids. It
// is a UUIDv7 of the day on which the file begins, with a hash where others have chance.
func seedID(collection, name string) ident.Record {
	hash := sha256.Sum256([]byte(collection + "/" + name))
	id := [16]byte(hash[:16])
	ms := time.Date(2010, time.December, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = 0x70 | id[6]&0x0f // version 7
	id[8] = 0x80 | id[8]&0x3f // the variant of RFC 9562
	return ident.FromBytes(id)
}

// jsonLines writes each record on a line of its own.
func jsonLines[T any](records []T) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			panic(err) // plain structs of texts and numbers always encode
		}
	}
	return out.Bytes()
}
