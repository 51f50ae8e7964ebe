package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/galleybackend/galley/internal/do/retail"
	"github.com/galleybackend/galley/internal/ident"
)

// findingMax is how many differences are printed one by one.
const findingMax = 25

// findings collects what does not agree. It may be used by several at once.
type findings struct {
	// tell hears of each difference, up to findingMax.
	tell   func(format string, args ...any)
	mu     sync.Mutex
	count  int
	proofs []string
}

// differ notes that what the shop has is not what the file has, unless it is.
func differ[T comparable](f *findings, what string, got, want T) {
	if got == want {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.count <= findingMax {
		f.tell("✗ %s: the shop has %v, the file %v", what, got, want)
	}
}

// agree notes a proof to be told once everything has agreed.
func (f *findings) agree(format string, args ...any) {
	f.proofs = append(f.proofs, fmt.Sprintf(format, args...))
}

func (f *findings) verdict(orders retail.Orders) error {
	if f.count > 0 {
		return fmt.Errorf("%d differences between the shop and the file", f.count)
	}
	for _, p := range f.proofs {
		fmt.Println("  ✓ " + p)
	}
	fmt.Printf("  %d invoices, %s: the shop agrees with the file to the penny\n",
		len(orders.Invoices), pounds(orders.Total))
	return nil
}

// An orderLine is a line of an order, as the shop and as the file have it.
type orderLine struct {
	Product  ident.Record `json:"product"`
	Quantity int64        `json:"quantity"`
	Price    int64        `json:"price"`
}

// lines returns the lines that the order of an invoice must have, in a fixed order.
func (w *world) lines(invoice retail.Invoice) []orderLine {
	var lines []orderLine
	for _, i := range invoice.Items {
		id := w.product[i.Article]
		lines = append(lines, orderLine{id, i.Quantity, w.article[id].Price})
	}
	return sorted(lines)
}

// sorted puts lines into an order that does not depend on how they came.
func sorted(lines []orderLine) []orderLine {
	slices.SortFunc(lines, func(a, b orderLine) int {
		return bytes.Compare(fmt.Append(nil, a), fmt.Append(nil, b))
	})
	return lines
}

// proveByAPI asks as each customer for his wallet, his orders and their lines, and as a
// visitor for the stock.
func (w *world) proveByAPI(ctx context.Context, address string, f *findings) error {
	client := caller()
	defer client.CloseIdleConnections()
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(replayWorkers)
	for _, c := range w.orders.Customers {
		group.Go(func() error { return w.proveCustomer(within, client, address, c, f) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := w.proveStock(ctx, client, address, f); err != nil {
		return err
	}
	f.agree("API: %d wallets are empty, %d shelves too, and each of %d orders has the lines "+
		"of its invoice", len(w.orders.Customers), len(w.orders.Articles), len(w.orders.Invoices))
	return nil
}

func (w *world) proveCustomer(ctx context.Context, client *http.Client, address, customer string,
	f *findings) error {
	who := "customer " + customer
	token := w.token[customer]
	var session struct {
		User struct{ Wallet int64 }
	}
	if _, err := askFor(ctx, client, request{method: http.MethodGet, token: token,
		url: address + "/api/auth/session"}, &session); err != nil {
		return err
	}
	differ(f, who+": wallet", session.User.Wallet, 0)
	differ(f, who+": least balance answered", slices.Min(w.balances[customer]), 0)

	type order struct {
		ID    ident.Record
		Total int64
	}
	orders, err := list[order](ctx, client, address+"/api/orders", token, nil)
	if err != nil {
		return err
	}
	type item struct {
		Order ident.Record
		orderLine
	}
	items, err := list[item](ctx, client, address+"/api/order_items", token, nil)
	if err != nil {
		return err
	}
	totals, lines := map[ident.Record]int64{}, map[ident.Record][]orderLine{}
	for _, o := range orders {
		totals[o.ID] = o.Total
	}
	for _, i := range items {
		lines[i.Order] = append(lines[i.Order], i.orderLine)
	}
	count := 0
	for _, invoice := range w.orders.Invoices {
		if invoice.Customer != customer {
			continue
		}
		count++
		id, name := w.placed[invoice.Number], "invoice "+invoice.Number
		differ(f, name+": total", totals[id], invoice.Total)
		differ(f, name+": lines", fmt.Sprint(sorted(lines[id])), fmt.Sprint(w.lines(invoice)))
	}
	differ(f, who+": orders", len(orders), count)
	return nil
}

func (w *world) proveStock(ctx context.Context, client *http.Client, address string,
	f *findings) error {
	type product struct {
		ID    ident.Record
		Stock int64
	}
	products, err := list[product](ctx, client, address+"/api/products", "",
		url.Values{"filter": {`code.contains("@")`}, "sort": {"code"}})
	if err != nil {
		return err
	}
	seen := 0
	for _, p := range products {
		if a, ok := w.article[p.ID]; ok {
			seen++
			differ(f, "article "+a.Key+": stock", p.Stock, 0)
		}
	}
	differ(f, "articles", seen, len(w.orders.Articles))
	return nil
}

// list reads a list to its last page.
func list[T any](ctx context.Context, client *http.Client, address, token string,
	params url.Values) ([]T, error) {
	query := maps.Clone(params)
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", "500")
	var all []T
	for {
		var page struct {
			Items []T
			Next  string
		}
		_, err := askFor(ctx, client, request{method: http.MethodGet, token: token,
			url: address + "?" + query.Encode()}, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("cursor", page.Next)
	}
}

// A logged is what the journal says of one commit.
type logged struct {
	Subject   string
	Operation string
	Key       string
	Changes   []struct {
		Collection string
		ID         ident.Record
		Before     map[string]any
		After      map[string]any
	}
}

// proveByJournal folds the journal and compares what it comes to: one entry with changes
// for each invoice, whose changes are those that the invoice asks for; each change
// begins where the last one to the same record ended.
func (w *world) proveByJournal(text []byte, f *findings) error {
	b := &books{world: w, f: f, last: map[string]string{}, entries: map[string]int{},
		user: map[ident.Record]string{}, invoice: map[string]retail.Invoice{}}
	for c, id := range w.user {
		b.user[id] = c
	}
	for _, i := range w.orders.Invoices {
		b.invoice[invoiceKey(i.Number)] = i
	}
	in := bufio.NewReader(bytes.NewReader(text))
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var entry logged
			decoder := json.NewDecoder(bytes.NewReader(line))
			decoder.UseNumber() // a float could not hold every amount
			if err := decoder.Decode(&entry); err != nil {
				return fmt.Errorf("journal, entry %d: %w", n, err)
			}
			b.read(entry)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	differ(f, "journal: entries of checkout", len(b.entries), len(w.orders.Invoices))
	differ(f, "journal: money taken", b.taken, w.orders.Total)
	f.agree("journal: %d entries of checkout take %s from wallets, and every change begins "+
		"where the last one ended", len(b.entries), pounds(b.taken))
	return nil
}

// books are what has been read of the journal so far.
type books struct {
	*world
	f       *findings
	last    map[string]string // what each record was when last heard of
	entries map[string]int    // by key
	user    map[ident.Record]string
	invoice map[string]retail.Invoice
	taken   int64
}

func (b *books) read(entry logged) {
	for _, c := range entry.Changes {
		name := c.Collection + "/" + string(c.ID)
		before, known := b.last[name]
		if known || c.Before != nil {
			differ(b.f, "journal: "+name+" before a change", canonical(c.Before), before)
		}
		b.last[name] = canonical(c.After)
	}
	if entry.Operation != "actions.checkout" {
		return
	}
	b.entries[entry.Key]++
	invoice, ok := b.invoice[entry.Key]
	differ(b.f, "journal: entries under the key "+entry.Key, b.entries[entry.Key], 1)
	differ(b.f, "journal: an invoice for the key "+entry.Key, ok, true)

	name := "journal: invoice " + invoice.Number
	subject := "users/" + string(b.world.user[invoice.Customer])
	differ(b.f, name+": who asked", entry.Subject, subject)
	var total, money, pieces, wanted int64
	var lines []orderLine
	for _, c := range entry.Changes {
		switch c.Collection {
		case "orders":
			total += number(c.After, "total")
		case "users":
			differ(b.f, name+": whose wallet", b.user[c.ID], invoice.Customer)
			money += number(c.Before, "wallet") - number(c.After, "wallet")
		case "products":
			pieces += number(c.Before, "stock") - number(c.After, "stock")
		case "order_items":
			product, _ := c.After["product"].(string)
			lines = append(lines, orderLine{ident.Record(product),
				number(c.After, "quantity"), number(c.After, "price")})
		}
	}
	for _, i := range invoice.Items {
		wanted += i.Quantity
	}
	differ(b.f, name+": total", total, invoice.Total)
	differ(b.f, name+": taken from the wallet", money, invoice.Total)
	differ(b.f, name+": taken from the stock", pieces, wanted)
	differ(b.f, name+": lines", fmt.Sprint(sorted(lines)), fmt.Sprint(b.lines(invoice)))
	b.taken += money
}

// number reads a whole number of a record; what is no number is 0 and so is found.
func number(record map[string]any, field string) int64 {
	text, _ := record[field].(json.Number)
	n, _ := text.Int64()
	return n
}

// canonical writes a record so that equal records are equal texts; none is "".
func canonical(record map[string]any) string {
	if record == nil {
		return ""
	}
	text, err := json.Marshal(record)
	if err != nil {
		panic(err) // it was read from JSON
	}
	return string(text)
}
