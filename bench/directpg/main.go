// Command directpg is the yardstick on PostgreSQL: what a careful engineer writes by hand
// for the shop of bench/app, in net/http and prepared statements on pgx, with a pool of
// connections. A note is one statement that commits by itself; a checkout is one
// transaction at SERIALIZABLE that is tried again when others came between. It has
// sessions, the rules and the checks, and nothing that Galley does beyond them: no
// journal, no idempotency, no versions to compare, no general filters.
//
//	directpg load URL DIR PRODUCTS.jsonl USERS.jsonl   makes the tables and DIR/tokens.json
//	directpg serve URL                                 serves them
//	directpg sums URL                                  prints what they hold
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "directpg:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 5 && args[0] == "load":
		return load(ctx, args[1], args[2], args[3], args[4])
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1])
	case len(args) == 2 && args[0] == "sums":
		return sums(ctx, args[1])
	}
	return errors.New("usage: directpg load URL DIR PRODUCTS USERS | " +
		"directpg serve URL | directpg sums URL")
}

// connsPerCore is the size of the pool: with more, one product for all loses more than
// the rest gains.
const connsPerCore = 4

func serve(ctx context.Context, url string) error {
	p, err := openPool(ctx, url, connsPerCore*runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: (&shop{p}).routes(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	fmt.Printf("directpg http://%s\n", l.Addr())
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return s.Shutdown(end)
	}
}

// sums prints what the shop holds, for the benchmark to compare with the answers that
// it was given.
func sums(ctx context.Context, url string) error {
	p, err := openPool(ctx, url, 1)
	if err != nil {
		return err
	}
	c := <-p
	var out struct{ Stock, Wallets, Orders, Total, Items, Notes int64 }
	err = c.QueryRow(ctx, `SELECT (SELECT sum(stock)::bigint FROM products WHERE listed),
		(SELECT sum(wallet)::bigint FROM users), (SELECT count(*) FROM orders),
		(SELECT coalesce(sum(price * quantity), 0)::bigint FROM order_items),
		(SELECT count(*) FROM order_items), (SELECT count(*) FROM notes)`).Scan(&out.Stock,
		&out.Wallets, &out.Orders, &out.Total, &out.Items, &out.Notes)
	if err = errors.Join(err, c.Close(ctx)); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
