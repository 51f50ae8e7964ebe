package tsaction

import (
	"maps"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// stocked runs a body on a host with a user and two products, $pen and $ink.
func stocked(t testing.TB, body string) (value.Value, *actiontest.Memory, error) {
	t.Helper()
	h := actiontest.NewMemory(actiontest.Shop("a"))
	h.Checks = actiontest.Keep
	h.Who = h.Add("users", "name", value.OfText("Ana"), "wallet", value.OfInt(100))
	pen := h.Add("products", "name", value.OfText("Pen"), "price", value.OfInt(300),
		"stock", value.OfInt(10), "listed", value.OfBool(true))
	ink := h.Add("products", "name", value.OfText("Ink"), "price", value.OfInt(100),
		"stock", value.OfInt(5), "listed", value.OfBool(false))
	body = strings.NewReplacer("$pen", `"`+string(pen)+`"`, "$ink", `"`+string(ink)+`"`).Replace(body)
	p, _ := one(t, body)
	out, err := call(p, h, bounds)
	if err != nil {
		return out, h, err
	}
	return out.Record().Get("it"), h, nil
}

func TestReadingAndWriting(t *testing.T) {
	for body, want := range map[string]string{
		`const p = tx.db.products.get($pen); return {it: [p.name, p.price, p.cost, p.version, p.created]}`:                     `["Pen",300,null,1,"2026-11-21T10:00:00.000Z"]`,
		`return {it: Object.keys(tx.db.products.get($pen))}`:                                                                   `["id","created","updated","version","name","price","cost","stock","listed"]`,
		`const {name, ...rest} = tx.db.products.get($pen); return {it: [name, Object.keys(rest).length]}`:                      `["Pen",8]`,
		`return {it: JSON.stringify(tx.db.users.first()).length > 20}`:                                                         `true`,
		`const p = tx.db.products.get($pen); return {it: [p.created === p.created, "name" in p, "x" in p, p.x]}`:               `[true,true,false,null]`,
		`return {it: [tx.auth.name, tx.auth === tx.auth, tx.now === tx.now]}`:                                                  `["Ana",true,true]`,
		`return {it: tx.db.products.list({sort: "price"}).map((p) => p.name)}`:                                                 `["Ink","Pen"]`,
		`return {it: tx.db.products.list({sort: "-price", limit: 1}).map((p) => p.name)}`:                                      `["Pen"]`,
		`return {it: tx.db.products.list({limit: 0})}`:                                                                         `[]`,
		"return {it: tx.db.products.list({where: cel`price < ${200}`}).map((p) => p.name)}":                                    `["Ink"]`,
		`return {it: [tx.db.products.count(), tx.db.products.count({listed: true}), tx.db.products.count({cost: null})]}`:      `[2,1,2]`,
		`return {it: [tx.db.products.first({listed: true, price: 300}).name, tx.db.products.first({price: 1})]}`:               `["Pen",null]`,
		`return {it: tx.db.products.first({}, {sort: "price"}).name}`:                                                          `"Ink"`,
		`const p = tx.db.products.update($pen, {stock: add(-4), price: max(500)}); return {it: [p.stock, p.price, p.version]}`: `[6,500,2]`,
		`const n = tx.db.notes.insert({tags: ["a", "b", "a"]}); const m = tx.db.notes.update(n, {tags: remove("a")});
		 return {it: [tx.db.notes.update(m, {tags: append("c")}).tags, n.tags]}`: `[["b","c"],["a","b","a"]]`,
		`const n = tx.db.notes.insert({tags: [], day: "2026-02-28", span: 1500, share: 0.5, data: {a: [1, null]}});
		 return {it: [n.day, n.span, n.share, n.data]}`: `["2026-02-28",1500,0.5,{"a":[1,null]}]`,
		`const o = tx.db.orders.insert({customer: tx.auth, total: 5, discount: undefined}); return {it: [o.customer === tx.auth.id, o.status, o.discount]}`: `[true,"paid",null]`,
		`tx.db.products.delete($pen); tx.db.products.delete(tx.db.products.get($ink)); return {it: tx.db.products.count()}`:                                 `0`,
		`const id = "01000000000000000000000000"; return {it: tx.db.products.insert({id, name: "x", price: 1, listed: true}).id === id}`:                    `true`,
		`try { tx.db.products.get("none") } catch (e) { return {it: [e.code, e instanceof Error, e.message]} }`:                                             `["not_found",true,"There is no such record in products."]`,
		`try { tx.db.users.update(tx.auth, {wallet: -1}) } catch (e) { return {it: [e.code, tx.db.users.get(tx.auth.id).wallet]} }`:                         `["insufficient_funds",100]`,
		`const p = tx.db.products.get($pen); tx.db.products.update(p, {stock: 1});
		 try { tx.db.products.update(p, {stock: 2}) } catch (e) { return {it: e.code} }`: `"stale"`,
		`const e = refuse("discount_invalid", {a: 1, b: "x", c: true, d: tx.auth}); return {it: [e.code, e.data.a, e.data.b, e.data.c, e.data.d === tx.auth.id]}`: `["discount_invalid",1,"x",true,true]`,
		`return (async () => { const [a, b] = await Promise.all([tx.db.products.get($pen), tx.db.products.get($ink)]); return {it: [a.name, b.name]} })()`:        `["Pen","Ink"]`,
		`return {it: input === undefined}`: `true`,
	} {
		it, _, err := stocked(t, body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
		} else if it.Text() != want {
			t.Errorf("%s\n got %s\nwant %s", body, it.Text(), want)
		}
	}
}

// TestMistakesAreNamed wants a sentence that names the field for each mistake.
func TestMistakesAreNamed(t *testing.T) {
	for body, want := range map[string]string{
		`tx.db.products.get()`:                                          "products.get wants a record or an id, got undefined",
		`tx.db.products.get(tx.auth)`:                                   "products.get wants a record of products, got one of users",
		`tx.db.products.insert({nmae: "x"})`:                            "products has no field nmae; did you mean name?",
		`tx.db.products.insert("x")`:                                    `products.insert wants an object of fields, got "x"`,
		`tx.db.products.insert({name: 5})`:                              "products.name must be text, got 5",
		`tx.db.products.insert({name: null})`:                           "products.name must not be null",
		`tx.db.products.insert({price: 1.5})`:                           "products.price must be a whole number, got 1.5",
		`tx.db.products.insert({price: NaN})`:                           "products.price must be a whole number, got NaN",
		`tx.db.products.insert({price: 2 ** 53})`:                       "products.price must be a whole number, got 9007199254740992",
		`tx.db.products.insert({price: "1"})`:                           `products.price must be a whole number, got "1"`,
		`tx.db.products.insert({listed: 1})`:                            "products.listed must be true or false, got 1",
		`tx.db.products.insert({name: Promise.resolve("x")})`:           "got a promise (await is missing)",
		`tx.db.products.insert({version: 3})`:                           "products.version is written by Galley alone",
		`tx.db.products.update($pen, {id: "x"})`:                        "products.id is written by Galley alone",
		`tx.db.products.update($pen, {name: add(1)})`:                   "products.name is no number",
		`tx.db.products.update($pen, {stock: append(1)})`:               "products.stock is no list",
		`tx.db.products.update($pen, {stock: add("1")})`:                `products.stock must be a whole number, got "1"`,
		`tx.db.products.update($pen, {stock: add(undefined)})`:          "products.stock: the operand is undefined",
		`tx.db.orders.insert({status: "lost"})`:                         `orders.status must be one of paid, shipped, got "lost"`,
		`tx.db.orders.insert({customer: tx.db.products.get($pen)})`:     "orders.customer must be an id of users, got a record",
		`tx.db.notes.insert({tags: "a"})`:                               `notes.tags must be a list, got "a"`,
		`tx.db.notes.insert({tags: ["a", 5]})`:                          "notes.tags[1] must be text, got 5",
		`tx.db.notes.insert({tags: Array(101).fill("a")})`:              "notes.tags has 101 items; 100 is the most",
		`tx.db.notes.insert({tags: [undefined]})`:                       "notes.tags[0] is undefined",
		`tx.db.notes.insert({tags: ["\ud800"]})`:                        "notes.tags[0] holds half of a character",
		`tx.db.notes.insert({day: "2026-02-30"})`:                       "notes.day must be a day as text",
		`tx.db.notes.insert({day: new Date()})`:                         "notes.day must be a day as text",
		`tx.db.notes.insert({span: "90s"})`:                             "notes.span must be a whole number of milliseconds",
		`tx.db.notes.insert({share: Infinity})`:                         "notes.share must be a finite number, got Infinity",
		`tx.db.notes.insert({data: "x".repeat(70000)})`:                 "notes.data has 70002 bytes as JSON; 65536 is the most",
		`const o: any = {}; o.o = o; tx.db.notes.insert({data: o})`:     "notes.data cannot be written as JSON",
		`tx.db.discounts.update("x", {expires: "2026-01-01"})`:          "discounts.expires must be a Date",
		`tx.db.products.first({pirce: 1})`:                              "products has no field pirce; did you mean price?",
		`tx.db.products.first({price: undefined})`:                      "products.price is undefined; write null",
		`tx.db.products.first("x")`:                                     "products: where must be an object or cel`…`",
		`tx.db.products.list({where: {}, limt: 1})`:                     "limt is none of them",
		`tx.db.products.list({limit: 1001})`:                            "limit must be a whole number from 0 to 1000, got 1001",
		`tx.db.products.list({sort: "pirce"})`:                          "products has no field pirce to sort by",
		`tx.db.products.list({sort: 5})`:                                "sort must be text, got 5",
		"tx.db.products.count(cel`pirce < ${1}`)":                       "products has no field pirce",
		"tx.db.products.count(cel`price < ${{}}`)":                      "cel value 1 must be text",
		`tx.db.producs.count()`:                                         "Cannot read property 'count' of undefined",
		`const p = tx.db.products.get($pen); p.stock = 5`:               "a record of products is read-only: stock cannot be set",
		`const p = tx.db.products.get($pen); delete p.stock`:            "a record of products is read-only",
		`const p = tx.db.notes.insert({tags: ["a"]}); p.tags.push("b")`: "TypeError",
		`tx.auth = null`:                                                "tx is fixed",
		`tx.db.products = null`:                                         "tx is fixed",
		`refuse(5)`:                                                     "refuse wants a code",
	} {
		_, _, err := stocked(t, body)
		if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", body, err, want)
		}
	}
}

// TestFatalFaultsCannotBeCaught lets code catch all it can: faults that are no
// answers of the state must end the call all the same.
func TestFatalFaultsCannotBeCaught(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Unavailable, fault.Timeout, fault.Internal, fault.Unknown, fault.Conflict} {
		for _, body := range []string{
			`try { tx.db.products.delete($pen); tx.db.products.insert({name: "x", price: 1, listed: true}) } catch (e) {}`,
			`try { tx.db.products.insert({name: "x", price: 1, listed: true}) } finally { return {it: 1} }`,
			`return (async () => { try { await tx.db.products.insert({name: "x", price: 1, listed: true}) } catch (e) {} return {it: 1} })()`,
			`return Promise.resolve().then(() => tx.db.products.insert({name: "x", price: 1, listed: true})).catch(() => ({it: 1}))`,
			`[1].map(() => { try { tx.db.products.insert({name: "x", price: 1, listed: true}) } catch (e) {} }); return {it: 1}`,
		} {
			h := actiontest.NewMemory(actiontest.Shop("a"))
			pen := h.Add("products", "name", value.OfText("Pen"), "price", value.OfInt(300), "listed", value.OfBool(true))
			h.Fail = fault.New(kind, "It is so.")
			p, _ := one(t, strings.ReplaceAll(body, "$pen", `"`+string(pen)+`"`))
			out, err := call(p, h, bounds)
			if !fault.Is(err, kind) {
				t.Errorf("%s %s: got %v %v", kind, body, out, err)
			}
		}
	}
}

// TestNothingIsLeftOfACallThatEnded has the host end a call wherever it is: the engine goes
// on with the next call, which sees nothing of it and does nothing for it.
func TestNothingIsLeftOfACallThatEnded(t *testing.T) {
	const more = `tx.db.products.insert({name: "x", price: 1, listed: true})`
	for _, body := range []string{
		more + `; return {it: 1}`,
		`try { await ` + more + ` } finally { ` + more + ` } return {it: 1}`,
		`Promise.resolve().then(() => ` + more + `); ` + more + `; return {it: 1}`,
		`const jobs = [1, 2].map(() => Promise.resolve().then(() => ` + more + `));
			await Promise.all(jobs); return {it: 1}`,
		`[3, 1, 2].sort(() => { ` + more + `; return 1 }); return {it: 1}`,
		`const g = (function* () { try { yield ` + more + ` } finally { ` + more + ` } })();
			for (const x of g) {} return {it: 1}`,
		`return {it: JSON.parse("[1]", () => { ` + more + `; return 1 })}`,
	} {
		p, h := one(t, `return (async () => {`+body+`})()`)
		before := h.Copy()
		want, err := call(p, h, bounds)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		rows := len(h.Rows("products"))
		for range 3 {
			h.Fail = fault.New(fault.Internal, "The call must begin anew.")
			if out, err := call(p, h, bounds); !fault.Is(err, fault.Internal) {
				t.Errorf("%s: got %v %v", body, out, err)
			}
			if len(p.idle) != 1 {
				t.Errorf("%s: %d engines, want the one that ran all calls", body, len(p.idle))
			}
			h.Fail = nil
			h.Restore(maps.Clone(before))
			out, err := call(p, h, bounds)
			if err != nil || !out.Equal(want) {
				t.Errorf("%s: got %v %v, want %v", body, out, err, want)
			}
			if got := len(h.Rows("products")); got != rows {
				t.Errorf("%s: %d records, want %d", body, got, rows)
			}
		}
	}
}

func TestNobodySignedInIsNull(t *testing.T) {
	says(t, `return {it: [tx.auth]}`, `[null]`)
}

func TestListsAreBounded(t *testing.T) {
	p, h := one(t, `return {it: tx.db.notes.list().length}`)
	for range action.RowsMax {
		h.Add("notes", "tags", value.OfList(nil))
	}
	if out, err := call(p, h, bounds); err != nil || out.Record().Get("it").Text() != "1000" {
		t.Errorf("got %v %v", out, err)
	}
	h.Add("notes", "tags", value.OfList(nil))
	_, err := call(p, h, bounds)
	if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "more than 1000 records") {
		t.Errorf("got %v", err)
	}
}

func TestOutputIsHeldAgainstItsShape(t *testing.T) {
	shape := value.NewShape("a", []value.Field{
		{Name: "order", Type: value.Type{Kind: value.TypeRelation, Of: "orders"}},
		{Name: "total", Type: value.Type{Kind: value.TypeMoney}},
		{Name: "note", Type: value.Type{Kind: value.TypeText, Optional: true}},
		{Name: "kind", Type: value.Type{Kind: value.TypeEnum, Words: []string{"b"}}, Default: value.OfText("b")},
	})
	for body, want := range map[string]string{
		`return {order: "x", total: 5}`:                              "",
		`return Promise.resolve({order: "x", total: 5, note: null})`: "",
		`return {order: "x"}`:                                        "output.total is missing",
		`return {order: "x", total: "5"}`:                            `output.total must be a whole number, got "5"`,
		`return {order: "x", total: 5, tottal: 6}`:                   "output.tottal is not declared; did you mean total?",
		`return {order: null, total: 5}`:                             "output.order must not be null",
		`return {order: "x", total: Promise.resolve(5)}`:             "got a promise (await is missing)",
		`return null`:      "output must be an object, got null",
		`return undefined`: "output must be an object, got undefined",
		`return [1]`:       "output must be an object, got a value of class Array",
		`return {get order() { throw new Error("in a getter") }, total: 5}`: "in a getter",
		`return {get order() { while (true) {} }, total: 5}`:                "took longer than",
	} {
		p, h := one(t, body)
		b := bounds
		b.Time /= 10
		out, err := Runner{}.Run(t.Context(), p, action.Run{Name: "actions/a", Bounds: b, Output: shape}, h)
		switch {
		case want == "" && (err != nil || out.Record().Get("kind").Text() != "b" || !out.Record().Get("note").IsNull()):
			t.Errorf("%s: %v %v", body, out, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s\n got %v\nwant %s", body, err, want)
		}
	}
}

// TestIdsRise makes records one after the other and wants their ids in that order.
func TestIdsRise(t *testing.T) {
	_, h, err := stocked(t, `for (let i = 0; i < 50; i++) tx.db.notes.insert({tags: []}); return {it: 1}`)
	if err != nil {
		t.Fatal(err)
	}
	last := ident.Record("")
	for _, r := range h.Rows("notes") {
		id, err := ident.ParseRecord(r.Slots[0].Text())
		if err != nil || id <= last {
			t.Fatalf("%s after %s: %v", id, last, err)
		}
		last = id
	}
}

// TestAwaitKeepsItsOrder holds the awaits, of which most cost no promise, to the order
// in which the language has them.
func TestAwaitKeepsItsOrder(t *testing.T) {
	p, h := one(t, `let order = "";
		const count = async (name: string) => { for (let i = 0; i < 3; i++) { order += name; await i } };
		const then = async () => { await Promise.resolve(1).then(() => { order += "p" }); order += "q" };
		const own = async () => {
			const five = await ({then(done: any) { order += "t"; done(5) }} as any);
			order += five;
		};
		const mixed = async () => {
			try { await Promise.reject(1) } catch (e) { order += "e" }
			for (const x of [await 7, await Promise.resolve(8)]) order += x;
			order += `+"`${await 1}${await 2}`"+` + await 3;
		};
		const all = async () => {
			await Promise.all([count("a"), count("b"), then(), own(), mixed()]);
			return {it: order};
		};
		return all()`)
	out, err := call(p, h, bounds)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(value.AppendJSON(nil, out)); got != `{"it":"ababpteabq578123"}` {
		t.Errorf("got %s", got)
	}
}
