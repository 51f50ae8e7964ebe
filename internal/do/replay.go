package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/galleybackend/galley/internal/do/retail"
	"github.com/galleybackend/galley/internal/do/server"
	"github.com/galleybackend/galley/internal/ident"
)

// replayTime bounds a whole replay, and replayWorkers is how many calls run at once.
const (
	replayTime    = 10 * time.Minute
	replayWorkers = 16
)

// runReplay sends every invoice of the file through the checkout of a running shop, twice
// under one key, and proves from the API and from the journal that orders, totals, stock
// and wallets agree with the file to the penny.
//
// Every customer begins with exactly what his invoices come to, and every article
// with exactly the pieces that they take: one order too many is refused, one too few
// leaves money and pieces behind.
func runReplay(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	galley := flags.String("galley", "", "the program to run; it is built when not given")
	app := flags.String("app", "examples/shop", "the folder of the shop")
	first := flags.Int("first", 0, "send only so many invoices; 0 sends all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, replayTime)
	defer stop()

	lines, err := readInvoices(*app)
	if err != nil {
		return err
	}
	orders := retail.Collect(lines, *first)
	dir, err := os.MkdirTemp("", "galley-replay-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	shop := &server.Server{Galley: *galley, App: *app, Data: filepath.Join(dir, "data")}
	if shop.Galley == "" {
		shop.Galley = filepath.Join(dir, "galley")
		if err := server.Build(ctx, ".", shop.Galley); err != nil {
			return err
		}
	}
	return replay(ctx, shop, dir, orders)
}

// alone is what a shop needs to be served that has nothing to do with others: its receipts
// stay in the mailbox, and nobody is paid.
var alone = []string{
	"GALLEY_SMTP_URL=mailbox:", "GALLEY_MAIL_FROM=shop@localhost", "GALLEY_URL=http://localhost",
	"STRIPE_KEY=of-the-replay-1", "STRIPE_WEBHOOK_KEY=of-the-replay-2", "SHIPPING_KEY=of-the-replay-3",
}

// replay fills the shop, sends the invoices and proves the sums.
func replay(ctx context.Context, shop *server.Server, dir string,
	orders retail.Orders) (err error) {
	say("%d invoices of %d customers, %d lines, %s", len(orders.Invoices),
		len(orders.Customers), orders.Lines, pounds(orders.Total))
	say("left out: %d lines of cancelled invoices, %d of nobody, %d at a price of nothing",
		orders.Cancelled, orders.Unnamed, orders.Free)

	shop.Env = alone
	if err := shop.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Stop()) }()

	world := newWorld(orders)
	started := time.Now()
	say("importing …")
	for _, file := range []struct {
		collection string
		text       []byte
	}{
		{"users", jsonLines(world.users())},
		{"products", jsonLines(world.products())},
	} {
		path := filepath.Join(dir, file.collection+".jsonl")
		if err := os.WriteFile(path, file.text, 0o600); err != nil {
			return err
		}
		if _, err := shop.Run(ctx, "import", file.collection, path); err != nil {
			return err
		}
	}
	say("imported %d customers and %d articles in %s", len(orders.Customers),
		len(orders.Articles), since(started))

	started = time.Now()
	say("signing in …")
	if err := world.signIn(ctx, shop.Address); err != nil {
		return err
	}
	say("signed %d customers in, in %s", len(orders.Customers), since(started))

	started = time.Now()
	if err := world.send(ctx, shop.Address); err != nil {
		return err
	}
	calls := 2 * len(orders.Invoices)
	say("sent %d calls in %s: %.0f calls/s, half of them under a key that had its answer",
		calls, since(started), float64(calls)/time.Since(started).Seconds())

	findings := &findings{tell: say}
	if err := world.proveByAPI(ctx, shop.Address, findings); err != nil {
		return err
	}
	journal, err := shop.Run(ctx, "export", "journal")
	if err != nil {
		return err
	}
	if err := world.proveByJournal(journal, findings); err != nil {
		return err
	}
	return findings.verdict(orders)
}

// A world ties what the file says to the records that stand for it.
type world struct {
	orders   retail.Orders
	user     map[string]ident.Record // by customer
	product  map[string]ident.Record // by article
	article  map[ident.Record]retail.Article
	token    map[string]string       // by customer
	placed   map[string]ident.Record // by invoice: the order that the shop made of it
	balances map[string][]int64      // by customer: what the answers said was left
}

func newWorld(orders retail.Orders) *world {
	w := &world{
		orders:   orders,
		user:     map[string]ident.Record{},
		product:  map[string]ident.Record{},
		article:  map[ident.Record]retail.Article{},
		token:    map[string]string{},
		placed:   map[string]ident.Record{},
		balances: map[string][]int64{},
	}
	for _, c := range orders.Customers {
		w.user[c] = seedID("users", email(c))
	}
	for _, a := range orders.Articles {
		id := seedID("products", a.Key)
		w.product[a.Key], w.article[id] = id, a
	}
	return w
}

const customerPassword = "one for all of them"

func email(customer string) string { return customer + "@customers.example" }

// users are the customers, each with what his invoices come to.
func (w *world) users() []seedUser {
	var users []seedUser
	for _, c := range w.orders.Customers {
		users = append(users, seedUser{ID: w.user[c], Email: email(c),
			Password: customerPassword, Name: "Customer " + c, Wallet: w.orders.Spent[c]})
	}
	return users
}

// products are the articles, each with the pieces that the invoices take.
func (w *world) products() []seedProduct {
	var products []seedProduct
	for _, a := range w.orders.Articles {
		products = append(products, seedProduct{ID: w.product[a.Key], Code: a.Key,
			Name: a.Name, Price: a.Price, Stock: a.Sold, Listed: true})
	}
	return products
}

// say prints a line of talk.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// pounds writes pence the way people read them.
func pounds(pence int64) string {
	sign := ""
	if pence < 0 {
		sign, pence = "-", -pence
	}
	return fmt.Sprintf("%s£%d.%02d", sign, pence/100, pence%100)
}
