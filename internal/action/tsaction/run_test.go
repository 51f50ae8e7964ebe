package tsaction

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

const checkout = `import { action, refuse } from "galley";

export default action("checkout", async (tx, input) => {
  let discount = null;
  if (input.code) {
    discount = await tx.db.discounts.first({ code: input.code });
    if (!discount || (discount.expires && discount.expires < tx.now)) {
      throw refuse("discount_invalid");
    }
    await tx.db.discounts.update(discount, { uses: discount.uses + 1 });
  }

  let total = 0;
  const lines = [];
  for (const { product: id, quantity } of input.items) {
    const product = await tx.db.products.get(id);
    if (!product.listed) throw refuse("not_found", { product: id });
    await tx.db.products.update(product, { stock: product.stock - quantity });
    lines.push({ product: id, quantity, price: product.price });
    total += product.price * quantity;
  }
  if (discount) total -= Math.floor((total * discount.percent) / 100);

  const user = await tx.db.users.update(tx.auth, { wallet: tx.auth.wallet - total });
  const order = await tx.db.orders.insert({ customer: user.id, total, discount: discount?.id });
  for (const line of lines) await tx.db.order_items.insert({ order: order.id, ...line });

  return { order: order.id, balance: user.wallet };
});
`

var bounds = action.Bounds{Time: 20 * time.Second, Memory: 64 << 20, Calls: 1000}

// load compiles sources given in pairs of name and text, and fails on a finding.
func load(t testing.TB, s *spec.Spec, sources map[string]string) *Program {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range sources {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	p, found := Load(files, s)
	for _, f := range found {
		t.Errorf("%s:%d:%d %s (%s)", f.Pos.File, f.Pos.Line, f.Pos.Column, f.Message, f.Help)
	}
	return p
}

// one compiles an action called a whose handler has the given body.
func one(t testing.TB, body string) (*Program, *actiontest.Memory) {
	t.Helper()
	s := actiontest.Shop("a")
	p := load(t, s, map[string]string{"actions/a.ts": `import { action, refuse, cel, add, append, remove, max, min } from "galley";
export default action("a", (tx, input) => {` + body + `
});`})
	h := actiontest.NewMemory(s)
	h.Checks = actiontest.Keep
	return p, h
}

func call(p *Program, h *actiontest.Memory, b action.Bounds) (value.Value, error) {
	return Runner{}.Run(context.Background(), p, action.Run{Name: "actions/a", Bounds: b, Output: answer}, h)
}

var answer = value.NewShape("a", []value.Field{
	{Name: "it", Type: value.Type{Kind: value.TypeJSON, Optional: true}}})

// says runs a body that returns {it} and wants it as JSON.
func says(t *testing.T, body, want string) {
	t.Helper()
	p, h := one(t, body)
	out, err := call(p, h, bounds)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if got := out.Record().Get("it").Text(); got != want {
		t.Errorf("%s\n got %s\nwant %s", body, got, want)
	}
}

func shopping(t testing.TB) (*Program, *actiontest.Memory, action.Run) {
	s := actiontest.Shop("checkout")
	p := load(t, s, map[string]string{"actions/checkout.ts": checkout})
	h := actiontest.NewMemory(s)
	h.Checks = actiontest.Keep
	h.Who = h.Add("users", "name", value.OfText("Ana"), "wallet", value.OfInt(5000))
	pen := h.Add("products", "name", value.OfText("Pen"), "price", value.OfInt(300),
		"stock", value.OfInt(10), "listed", value.OfBool(true))
	h.Add("discounts", "code", value.OfText("TEN"), "percent", value.OfInt(10), "uses", value.OfInt(0))
	in := value.NewRecord(s.Action("checkout").Input)
	item := in.Shape.Fields()[0].Type.Elem.Fields
	in.Set("items", value.OfList([]value.Value{value.OfRecord(value.Record{Shape: item,
		Slots: []value.Value{value.OfText(string(pen)), value.OfInt(2)}})}))
	return p, h, action.Run{Name: "actions/checkout", Input: in, Output: s.Action("checkout").Output, Bounds: bounds}
}

func TestCheckout(t *testing.T) {
	p, h, buy := shopping(t)
	buy.Input.Set("code", value.OfText("TEN"))
	out, err := Runner{}.Run(context.Background(), p, buy, h)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Record().Get("balance").Int(); got != 5000-540 {
		t.Errorf("balance %d, want 4460", got)
	}
	want := "find discounts,put discounts,get products,put products,get users,put users,put orders,put order_items"
	if got := strings.Join(h.Calls, ","); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if o := h.Rows("orders")[0]; o.Get("total").Int() != 540 || o.Get("status").Text() != "paid" {
		t.Errorf("order %v", o)
	}
}

func TestRefusalsComeBackAsTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		body, code string
		kind       fault.Kind
	}{
		"the app's own":   {`throw refuse("discount_invalid", {needed: 1990, who: "ana"})`, "discount_invalid", fault.Refused},
		"a check's":       {`throw refuse("out_of_stock")`, "out_of_stock", fault.Refused},
		"the house's":     {`throw refuse("not_found")`, "not_found", fault.NotFound},
		"of the host":     {`tx.db.products.get("none")`, "not_found", fault.NotFound},
		"of a check":      {`tx.db.products.insert({name: "x", price: 1, listed: true, stock: -1})`, "out_of_stock", fault.Refused},
		"thrown later":    {`return Promise.resolve().then(() => { throw refuse("discount_invalid") })`, "discount_invalid", fault.Refused},
		"caught and sent": {`try { tx.db.products.get("none") } catch (e) { throw e }`, "not_found", fault.NotFound},
		"unknown":         {`throw refuse(["dis", "count"].join(""))`, "internal", fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			p, h := one(t, c.body)
			_, err := call(p, h, bounds)
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind != c.kind || f.CodeOr() != c.code {
				t.Fatalf("got %v, want %s %s", err, c.kind, c.code)
			}
			if name == "the app's own" && (len(f.Data) != 2 || f.Data[0].Value != int64(1990) ||
				f.Message != "This code is not valid.") {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// TestPanicOfTheHostIsAFault lets the host panic in a call: the program must live on.
func TestPanicOfTheHostIsAFault(t *testing.T) {
	p, h := one(t, `try { tx.db.products.insert({name: "x", price: 1, listed: true}) } catch (e) {} return {it: 1}`)
	h.Checks = func(string, value.Record) error { panic("at the disco") }
	_, err := call(p, h, bounds)
	if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "at the disco") {
		t.Errorf("got %v", err)
	}
	if len(p.idle) != 0 {
		t.Error("the engine is used again")
	}
}
