// Command pocketbase is the peer of the benchmark: PocketBase with the collections and
// rules of bench/app, and its checkout as a Go route in one transaction. It is a module
// of its own, so that nothing of it reaches Galley's. PocketBase runs as it comes,
// except that its log of requests is off, which is to its advantage.
//
//	pocketbase load DIR PRODUCTS.jsonl USERS.jsonl   makes the data and DIR/tokens.json
//	pocketbase serve DIR                             serves it
//	pocketbase sums DIR                              prints what it holds
//	pocketbase live DIR                              serves a new folder for bench/live
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/apis"
	"github.com/pocketbase/pocketbase/core"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pocketbase:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: pocketbase load|serve|sums|live DIR …")
	}
	app := pocketbase.NewWithConfig(pocketbase.Config{
		DefaultDataDir: filepath.Join(args[1], "pb"), HideStartBanner: true,
	})
	if err := app.Bootstrap(); err != nil {
		return err
	}
	switch {
	case args[0] == "load" && len(args) == 4:
		return load(app, args[1], args[2], args[3])
	case args[0] == "serve" && len(args) == 2:
		return serve(app)
	case args[0] == "live" && len(args) == 2:
		if err := ticks(app); err != nil {
			return err
		}
		return serve(app)
	case args[0] == "sums" && len(args) == 2:
		return sums(app)
	}
	return fmt.Errorf("unknown arguments %q", args)
}

func serve(app core.App) error {
	app.OnRecordCreateRequest("notes").BindFunc(func(e *core.RecordRequestEvent) error {
		e.Record.Set("author", e.Auth.Id)
		return e.Next()
	})
	app.OnServe().BindFunc(func(e *core.ServeEvent) error {
		e.InstallerFunc = nil // it would open a browser
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		e.Listener = l
		e.Router.POST("/api/checkout", checkout).Bind(apis.RequireAuth("users"))
		fmt.Printf("pocketbase http://%s\n", l.Addr())
		return e.Next()
	})
	done := make(chan error, 1)
	go func() { done <- apis.Serve(app, apis.ServeConfig{HttpAddr: "127.0.0.1:0"}) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	select {
	case err := <-done:
		return err
	case <-stop:
		return app.OnTerminate().Trigger(&core.TerminateEvent{App: app},
			func(e *core.TerminateEvent) error { return e.App.ResetBootstrapState() })
	}
}

// checkout reads the buyer and each product, takes stock and money, and writes the
// order, in one transaction.
func checkout(e *core.RequestEvent) error {
	var in struct {
		Items []struct {
			Product  string `json:"product"`
			Quantity int    `json:"quantity"`
		} `json:"items"`
	}
	if err := e.BindBody(&in); err != nil || len(in.Items) == 0 || len(in.Items) > 100 {
		return apis.NewBadRequestError("invalid_input", err)
	}
	var order *core.Record
	balance := 0
	err := e.App.RunInTransaction(func(tx core.App) error {
		me, err := tx.FindRecordById("users", e.Auth.Id)
		if err != nil {
			return err
		}
		var lines []*core.Record
		items, err := tx.FindCachedCollectionByNameOrId("order_items")
		if err != nil {
			return err
		}
		total := 0
		for _, item := range in.Items {
			product, err := tx.FindRecordById("products", item.Product)
			if err != nil {
				return err
			}
			stock := product.GetInt("stock") - item.Quantity
			if !product.GetBool("listed") || item.Quantity < 1 || stock < 0 {
				return apis.NewApiError(http.StatusConflict, "out_of_stock", nil)
			}
			product.Set("stock", stock)
			if err := tx.Save(product); err != nil {
				return err
			}
			price := product.GetInt("price")
			total += price * item.Quantity
			line := core.NewRecord(items)
			line.Set("product", product.Id)
			line.Set("quantity", item.Quantity)
			line.Set("price", price)
			lines = append(lines, line)
		}
		balance = me.GetInt("wallet") - total
		if balance < 0 {
			return apis.NewApiError(http.StatusConflict, "insufficient_funds", nil)
		}
		me.Set("wallet", balance)
		if err := tx.Save(me); err != nil {
			return err
		}
		orders, err := tx.FindCachedCollectionByNameOrId("orders")
		if err != nil {
			return err
		}
		order = core.NewRecord(orders)
		order.Set("customer", me.Id)
		order.Set("status", "paid")
		order.Set("total", total)
		if err := tx.Save(order); err != nil {
			return err
		}
		for _, line := range lines {
			line.Set("order", order.Id)
			if err := tx.Save(line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, map[string]any{"order": order.Id, "balance": balance})
}

// sums prints what the shop holds.
func sums(app core.App) error {
	var out struct {
		Stock, Wallets, Orders, Total, Items, Notes int64
	}
	err := app.DB().NewQuery(`SELECT (SELECT sum(stock) FROM products WHERE listed),
		(SELECT sum(wallet) FROM users), (SELECT count(*) FROM orders),
		(SELECT coalesce(sum(price * quantity), 0) FROM order_items),
		(SELECT count(*) FROM order_items), (SELECT count(*) FROM notes)`).
		Row(&out.Stock, &out.Wallets, &out.Orders, &out.Total, &out.Items, &out.Notes)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
