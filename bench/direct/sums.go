package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// sums prints what the shop holds, for the benchmark to compare with the answers that
// it was given.
func sums(dir string) error {
	db, err := open(filepath.Join(dir, "direct.db"))
	if err != nil {
		return err
	}
	var out struct{ Stock, Wallets, Orders, Total, Items, Notes int64 }
	_, err = db.one(`SELECT (SELECT sum(stock) FROM products WHERE listed),
		(SELECT sum(wallet) FROM users), (SELECT count(*) FROM orders),
		(SELECT coalesce(sum(price * quantity), 0) FROM order_items),
		(SELECT count(*) FROM order_items), (SELECT count(*) FROM notes)`,
		func(row *sqlite3.Stmt) {
			for i, p := range []*int64{&out.Stock, &out.Wallets, &out.Orders, &out.Total,
				&out.Items, &out.Notes} {
				*p = row.ColumnInt64(i)
			}
		})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
