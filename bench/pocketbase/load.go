package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/pocketbase/dbx"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/types"
)

// load makes the collections and fills them from the files of the fixture.
func load(app core.App, dir, products, users string) error {
	if err := settle(app); err != nil {
		return err
	}
	if err := collections(app); err != nil {
		return err
	}
	now := types.NowDateTime().String()
	var tokens []string
	err := app.RunInTransaction(func(tx core.App) error {
		err := lines(products, func(line []byte) error {
			var p struct {
				ID, Name, About    string
				Price, Cost, Stock int64
				Listed             bool
			}
			if err := json.Unmarshal(line, &p); err != nil {
				return err
			}
			_, err := tx.NonconcurrentDB().Insert("products", dbx.Params{
				"id": p.ID, "created": now, "updated": now, "name": p.Name, "about": p.About,
				"price": p.Price, "cost": p.Cost, "stock": p.Stock, "listed": p.Listed,
			}).Execute()
			return err
		})
		if err != nil {
			return err
		}
		people, err := tx.FindCollectionByNameOrId("users")
		if err != nil {
			return err
		}
		return lines(users, func(line []byte) error {
			var u struct {
				ID, Email, Name string
				Wallet          int64
			}
			if err := json.Unmarshal(line, &u); err != nil {
				return err
			}
			r := core.NewRecord(people)
			r.Id = u.ID
			r.SetEmail(u.Email)
			r.SetVerified(true)
			r.SetRandomPassword()
			r.Set("name", u.Name)
			r.Set("wallet", u.Wallet)
			if err := tx.Save(r); err != nil {
				return err
			}
			token, err := r.NewAuthToken()
			tokens = append(tokens, token)
			return err
		})
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(tokens)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tokens.json"), text, 0o600)
}

// settle makes PocketBase's own tables and switches its log of requests off.
func settle(app core.App) error {
	if err := app.RunAllMigrations(); err != nil {
		return err
	}
	settings := app.Settings()
	settings.Logs.MaxDays = 0
	return app.Save(settings)
}

// ticks makes the collection of bench/live/app.
func ticks(app core.App) error {
	if err := settle(app); err != nil {
		return err
	}
	c := collection("ticks")
	c.ListRule = types.Pointer(`topic != ""`)
	c.ViewRule, c.CreateRule = c.ListRule, c.ListRule
	c.Fields.Add(
		&core.TextField{Name: "topic", Max: 40},
		&core.NumberField{Name: "sent", OnlyInt: true},
		&core.TextField{Name: "text", Max: 200},
	)
	c.AddIndex("ticks_by_topic", false, "topic", "")
	return app.Save(c)
}

// collections makes the shop of bench/app.
func collections(app core.App) error {
	users, err := app.FindCollectionByNameOrId("users")
	if err != nil {
		return err
	}
	longIDs(users)
	users.Fields.Add(&core.NumberField{Name: "wallet", OnlyInt: true, Min: types.Pointer(0.0)})
	if err := app.Save(users); err != nil {
		return err
	}

	products := collection("products")
	longIDs(products)
	products.ViewRule = types.Pointer("listed = true")
	products.ListRule = products.ViewRule
	products.Fields.Add(
		&core.TextField{Name: "name", Required: true, Max: 120},
		&core.TextField{Name: "about", Max: 64 << 10},
		&core.NumberField{Name: "price", OnlyInt: true, Required: true, Min: types.Pointer(1.0)},
		&core.NumberField{Name: "cost", OnlyInt: true, Hidden: true},
		&core.NumberField{Name: "stock", OnlyInt: true, Min: types.Pointer(0.0)},
		&core.BoolField{Name: "listed"},
	)
	products.AddIndex("products_by_price", false, "listed, price DESC, id", "")
	if err := app.Save(products); err != nil {
		return err
	}

	mine := types.Pointer("customer = @request.auth.id")
	orders := collection("orders")
	orders.ViewRule, orders.ListRule = mine, mine
	orders.Fields.Add(
		&core.RelationField{Name: "customer", CollectionId: users.Id, Required: true, MaxSelect: 1},
		&core.SelectField{Name: "status", Values: []string{"paid", "shipped", "refunded"},
			Required: true, MaxSelect: 1},
		&core.NumberField{Name: "total", OnlyInt: true, Min: types.Pointer(0.0)},
	)
	orders.AddIndex("orders_by_customer", false, "customer, created DESC", "")
	if err := app.Save(orders); err != nil {
		return err
	}

	items := collection("order_items")
	items.ViewRule = types.Pointer("order.customer = @request.auth.id")
	items.ListRule = items.ViewRule
	items.Fields.Add(
		&core.RelationField{Name: "order", CollectionId: orders.Id, Required: true, MaxSelect: 1,
			CascadeDelete: true},
		&core.RelationField{Name: "product", CollectionId: products.Id, Required: true, MaxSelect: 1},
		&core.NumberField{Name: "quantity", OnlyInt: true, Required: true, Min: types.Pointer(1.0)},
		&core.NumberField{Name: "price", OnlyInt: true},
	)
	items.AddIndex("order_items_by_order", false, "`order`", "")
	if err := app.Save(items); err != nil {
		return err
	}

	notes := collection("notes")
	notes.CreateRule = types.Pointer(`@request.auth.id != ""`)
	notes.ViewRule = types.Pointer("author = @request.auth.id")
	notes.ListRule = notes.ViewRule
	notes.Fields.Add(
		&core.RelationField{Name: "author", CollectionId: users.Id, Required: true, MaxSelect: 1},
		&core.TextField{Name: "title", Required: true, Max: 120},
		&core.TextField{Name: "body", Max: 64 << 10},
	)
	return app.Save(notes)
}

func collection(name string) *core.Collection {
	c := core.NewBaseCollection(name)
	c.Fields.Add(
		&core.AutodateField{Name: "created", OnCreate: true},
		&core.AutodateField{Name: "updated", OnCreate: true, OnUpdate: true},
	)
	return c
}

// longIDs lets a collection take the ids of the fixture.
func longIDs(c *core.Collection) {
	if id, ok := c.Fields.GetByName("id").(*core.TextField); ok {
		id.Max = 26
	}
}

// lines calls each with every line of a file.
func lines(path string, each func([]byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if err := each(s.Bytes()); err != nil {
			return err
		}
	}
	return s.Err()
}
