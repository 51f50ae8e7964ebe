// Package twins holds the actions of the folder actions once more in Go.
package twins

import (
	"strings"

	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/internal/action/actiontest/testdata/twins/app"
)

// Register registers all of them.
func Register(g *galley.App) {
	galley.Action(g, "checkout", checkout)
	galley.Action(g, "everything", everything)
	galley.Action(g, "reads", reads)
	galley.Action(g, "operators", operators)
	galley.Action(g, "stale", stale)
	galley.Action(g, "caught", caught)
	galley.Action(g, "missing", missing)
	galley.Action(g, "chance", chance)
	galley.Action(g, "breaks", breaks)
	galley.Action(g, "endless", endless)
	galley.Action(g, "many", many)
	galley.Action(g, "huge", huge)
	galley.Action(g, "removes", removes)
	galley.Action(g, "nothing", nothing)
	galley.Action(g, "like", like)
	galley.Action(g, "unlike", unlike)
	galley.Hook(g, "likes", galley.Hooks[app.Like]{Create: liked, Delete: unliked})
	galley.Hook(g, "posts", galley.Hooks[app.Post]{Update: changed, Delete: gone})
	galley.HandleJob(g, "credit", credit)
	galley.HandleJob(g, "heard", heard)
	galley.Webhook(g, "paid", paid)
	galley.Route(g, "greet", greet)
}

type none = struct{}

func checkout(tx *galley.Tx, in app.CheckoutInput) (out app.CheckoutOutput, err error) {
	db := app.DB(tx)
	order := app.Order{Customer: app.Me(tx).ID}
	var lines []app.OrderItem
	for _, item := range in.Items {
		p, err := db.Products.Get(item.Product)
		if err != nil {
			return out, err
		}
		if !p.Listed {
			return out, galley.Refuse(app.NotFound, "product", p.ID)
		}
		p.Stock -= item.Quantity
		if _, err := db.Products.Update(p); err != nil {
			return out, err
		}
		order.Total += p.Price * item.Quantity
		lines = append(lines, app.OrderItem{Product: p.ID, Quantity: item.Quantity, Price: p.Price})
	}
	me := app.Me(tx)
	me.Wallet -= order.Total
	if me, err = db.Users.Update(me); err != nil {
		return out, err
	}
	if order, err = db.Orders.Insert(order); err != nil {
		return out, err
	}
	for _, l := range lines {
		l.Order = order.ID
		if _, err := db.OrderItems.Insert(l); err != nil {
			return out, err
		}
	}
	return app.CheckoutOutput{Order: order.ID, Balance: me.Wallet}, nil
}

func everything(tx *galley.Tx, in app.EverythingInput) (out app.EverythingOutput, err error) {
	boxes := app.DB(tx).Boxes
	parent, err := boxes.Insert(app.Box{Label: "parent", Tags: []string{}})
	if err != nil {
		return out, err
	}
	box, err := boxes.Insert(app.Box{Label: in.Label, About: in.About, Share: &in.Share, Open: true,
		At: &in.At, Day: in.Day, Span: &in.Span, Kind: app.BoxKind(in.Kind), Tags: in.Tags, Data: in.Data,
		Parent: &parent.ID})
	if err != nil {
		return out, err
	}
	box.Count++
	box.About = nil
	if box, err = boxes.Update(box); err != nil {
		return out, err
	}
	return app.EverythingOutput{Box: box.ID, About: box.About, Share: *box.Share, At: *box.At, Day: box.Day,
		Span: *box.Span, Kind: app.EverythingOutputKind(box.Kind), Tags: box.Tags, Data: box.Data,
		Changed: box.Count}, nil
}

func reads(tx *galley.Tx, _ none) (out app.ReadsOutput, err error) {
	products := app.DB(tx).Products
	cheap, err := products.List(galley.List{Where: galley.CEL("price < most && listed", "most", 500),
		Sort: "-price,name", Limit: 2})
	if err != nil {
		return out, err
	}
	out.Cheap = []string{}
	for _, p := range cheap {
		out.Cheap = append(out.Cheap, p.Name)
	}
	best, err := products.First(galley.Fields{"listed": true, "price": 900})
	if err != nil {
		return out, err
	}
	if best != nil {
		out.Best = &best.Name
	}
	nobody, err := products.First(galley.Fields{"name": "nothing"})
	if err != nil {
		return out, err
	}
	if nobody != nil {
		out.None = &nobody.Name
	}
	if out.Count, err = products.Count(galley.Fields{"listed": true}); err != nil {
		return out, err
	}
	all, err := products.List(galley.List{})
	out.All = int64(len(all))
	return out, err
}

func operators(tx *galley.Tx, in app.OperatorsInput) (out app.OperatorsOutput, err error) {
	boxes := app.DB(tx).Boxes
	steps := []galley.Fields{
		{"count": galley.Add(5), "tags": galley.Append("new")},
		{"count": galley.Max(7), "tags": galley.Remove("old")},
		{"count": galley.Min(100)},
	}
	var last app.Box
	for _, s := range steps {
		if last, err = boxes.Patch(in.Box, s); err != nil {
			return out, err
		}
	}
	return app.OperatorsOutput{Count: last.Count, Tags: last.Tags}, nil
}

func stale(tx *galley.Tx, in app.StaleInput) (out app.StaleOutput, err error) {
	products := app.DB(tx).Products
	p, err := products.Get(in.Product)
	if err != nil {
		return out, err
	}
	p.Stock = 1
	if _, err = products.Update(p); err != nil {
		return out, err
	}
	p.Stock = 2
	if _, err = products.Update(p); err != nil {
		if !in.Catch {
			return out, err
		}
		return app.StaleOutput{Code: galley.Code(err)}, nil
	}
	return app.StaleOutput{Code: "none"}, nil
}

func caught(tx *galley.Tx, in app.CaughtInput) (out app.CaughtOutput, err error) {
	products := app.DB(tx).Products
	out.Code = "none"
	if _, err := products.Insert(app.Product{Name: "free", Price: 0}); err != nil {
		out.Code = galley.Code(err)
	}
	_, err = products.Patch(in.Product, galley.Fields{"stock": 3})
	return out, err
}

func missing(tx *galley.Tx, in app.MissingInput) (none, error) {
	db := app.DB(tx)
	if _, err := db.Boxes.Insert(app.Box{Label: "lost", Open: true, Tags: []string{}}); err != nil {
		return none{}, err
	}
	_, err := db.Products.Get(app.ProductID(in.Product))
	return none{}, err
}

func chance(tx *galley.Tx, _ none) (out app.ChanceOutput, err error) {
	out.First, out.Now = tx.Random().Float64(), tx.Now()
	box, err := app.DB(tx).Boxes.Insert(app.Box{Label: "lucky", Open: true, Tags: []string{}})
	out.Second, out.Box = tx.Random().Float64(), box.ID
	return out, err
}

func breaks(tx *galley.Tx, _ none) (none, error) {
	if _, err := app.DB(tx).Boxes.Insert(app.Box{Label: "lost", Open: true, Tags: []string{}}); err != nil {
		return none{}, err
	}
	var nothing *app.Box
	nothing.Open = true
	return none{}, nil
}

func endless(tx *galley.Tx, _ none) (none, error) {
	if _, err := app.DB(tx).Boxes.Insert(app.Box{Label: "lost", Open: true, Tags: []string{}}); err != nil {
		return none{}, err
	}
	for tx.Context().Err() == nil { // or it would spin on beside the other tests
	}
	return none{}, nil
}

func many(tx *galley.Tx, _ none) (none, error) {
	for {
		if _, err := app.DB(tx).Boxes.Count(nil); err != nil {
			return none{}, err
		}
	}
}

func huge(tx *galley.Tx, _ none) (none, error) {
	_, err := app.DB(tx).Boxes.Insert(app.Box{Label: strings.Repeat("x", 1000000), Open: true, Tags: []string{}})
	return none{}, err
}

func removes(tx *galley.Tx, in app.RemovesInput) (none, error) {
	return none{}, app.DB(tx).Orders.Delete(in.Order)
}

func nothing(tx *galley.Tx, _ none) (none, error) {
	tx.Log("nothing is to be done")
	return none{}, nil
}
