package goaction

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/value"
)

type none = struct{}

type product struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Version int64     `json:"version"`
	Name    string    `json:"name"`
	Price   int64     `json:"price"`
	Cost    *int64    `json:"cost"`
	Stock   int64     `json:"stock"`
	Listed  bool      `json:"listed"`
}

// perform registers run as the action a and calls it.
func perform(t testing.TB, b action.Bounds, run func(*Call, none) (none, error)) (*actiontest.Memory, error) {
	t.Helper()
	p := New()
	Add(p, "a", run, run)
	h := actiontest.NewMemory(actiontest.Shop("a"))
	h.Checks = actiontest.Keep
	_, err := Runner{}.Run(context.Background(), p, action.Run{Name: "actions/a", Bounds: b}, h)
	return h, err
}

var bounds = action.Bounds{Time: 5 * time.Second, Calls: 100}

func TestEndOfACall(t *testing.T) {
	refusal := &fault.Fault{Kind: fault.Refused, Code: "out_of_stock"}
	for name, c := range map[string]struct {
		run  func(*Call, none) (none, error)
		kind fault.Kind
		says string
	}{
		"a refusal":         {func(*Call, none) (none, error) { return none{}, refusal }, fault.Refused, "out_of_stock"},
		"a wrapped refusal": {func(*Call, none) (none, error) { return none{}, errors.Join(refusal) }, fault.Refused, "out_of_stock"},
		"another error":     {func(*Call, none) (none, error) { return none{}, errors.New("no luck") }, fault.Internal, "no luck"},
		"a panic":           {func(*Call, none) (none, error) { panic("at the disco") }, fault.Internal, "goaction_test.go"},
		"too many calls": {func(c *Call, _ none) (none, error) {
			for c.Context().Err() == nil {
				_, _ = c.Count("products", Where{}) // it does not listen
			}
			return none{}, nil
		}, fault.Timeout, "took longer"},
		"too many calls, heard": {func(c *Call, _ none) (none, error) {
			for {
				if _, err := c.Count("products", Where{}); err != nil {
					return none{}, nil
				}
			}
		}, fault.Timeout, "more than 100 calls"},
		"too many calls without errors": {func(c *Call, _ none) (none, error) {
			for {
				c.Log("again")
			}
		}, fault.Timeout, "more than 100 calls"},
		"an unknown collection": {func(c *Call, _ none) (none, error) {
			_, err := c.Count("prodcuts", Where{})
			return none{}, err
		}, fault.Internal, "prodcuts"},
		"an unread record": {func(c *Call, _ none) (none, error) {
			return none{}, c.Update("products", &product{ID: "x"})
		}, fault.Internal, "was not read"},
		"a struct that does not fit": {func(c *Call, _ none) (none, error) {
			return none{}, c.Insert("users", &product{})
		}, fault.Internal, "does not fit users"},
		"a field that is not there": {func(c *Call, _ none) (none, error) {
			_, err := c.Count("products", Where{Equal: map[string]any{"pirce": 1}})
			return none{}, err
		}, fault.Internal, "pirce"},
		"a value of another type": {func(c *Call, _ none) (none, error) {
			_, err := c.Count("products", Where{Equal: map[string]any{"price": "1"}})
			return none{}, err
		}, fault.Internal, "not string"},
	} {
		t.Run(name, func(t *testing.T) {
			b := bounds
			if name == "too many calls" {
				b.Time = 50 * time.Millisecond
			}
			_, err := perform(t, b, c.run)
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v\nwant %s that says %q", err, c.kind, c.says)
			}
		})
	}
}

// TestFatalFaultCannotBeSwallowed lets a function ignore a fault that is no answer of
// the state: the call must end with it all the same.
func TestFatalFaultCannotBeSwallowed(t *testing.T) {
	p := New()
	run := func(c *Call, _ none) (none, error) {
		_ = c.Insert("products", &product{Name: "x", Price: 1})
		return none{}, nil
	}
	Add(p, "a", run, run)
	h := actiontest.NewMemory(actiontest.Shop("a"))
	h.Fail = fault.New(fault.Unavailable, "The disk is full.")
	_, err := Runner{}.Run(t.Context(), p, action.Run{Name: "actions/a", Bounds: bounds}, h)
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
}

// TestCallIsOverAfterItsTime makes a function outlive its call and try to write.
func TestCallIsOverAfterItsTime(t *testing.T) {
	over, heard := make(chan none), make(chan error, 1)
	h, err := perform(t, action.Bounds{Time: 20 * time.Millisecond}, func(c *Call, _ none) (none, error) {
		<-over
		heard <- c.Insert("products", &product{Name: "late", Price: 1})
		return none{}, nil
	})
	if !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v, want a timeout", err)
	}
	close(over)
	if err := <-heard; err == nil || len(h.Rows("products")) != 0 {
		t.Errorf("a function wrote after its call: %v", err)
	}
}

func TestCancelledCallEnds(t *testing.T) {
	p := New()
	run := func(c *Call, _ none) (none, error) {
		<-c.Context().Done()
		return none{}, nil
	}
	Add(p, "a", run, run)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Runner{}.Run(ctx, p, action.Run{Name: "actions/a", Bounds: bounds}, actiontest.NewMemory(actiontest.Shop()))
	if !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestInsertLeavesZeroFieldsToTheirDefaults(t *testing.T) {
	h, err := perform(t, bounds, func(c *Call, _ none) (none, error) {
		type order struct {
			ID       ident.Record `json:"id"`
			Created  time.Time    `json:"created"`
			Updated  time.Time    `json:"updated"`
			Version  int64        `json:"version"`
			Customer string       `json:"customer"`
			Status   string       `json:"status"`
			Total    int64        `json:"total"`
			Discount *string      `json:"discount"`
		}
		o := order{Customer: "ana"}
		if err := c.Insert("orders", &o); err != nil {
			return none{}, err
		}
		if o.Status != "paid" || o.Version != 1 || o.ID == "" {
			t.Errorf("got %+v", o)
		}
		return none{}, nil
	})
	if err != nil || h.Rows("orders")[0].Get("status").Text() != "paid" {
		t.Errorf("%v", err)
	}
}

const mismatched = `app: shop
collections:
  products:
    fields:
      name: string
actions:
  buy:
    allow: "true"
    input:
      product: products
      items: [{product: products, quantity: {type: int, min: 1}}]
      note: string?
      when: {type: time}
    output:
      total: money
  plain:
    allow: "true"
`

func TestMismatchNamesBothPlaces(t *testing.T) {
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(mismatched)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	type item struct {
		Product  string `json:"product"`
		Quantity string `json:"quantity"`
	}
	type input struct {
		Product string
		Items   []item
		Note    string
		Wehn    time.Time
	}
	type output struct{ Total float64 }
	p := New()
	buy := func(*Call, input) (output, error) { return output{}, nil }
	Add(p, "buy", buy, buy)
	plain := func(*Call, input) (none, error) { return none{}, nil }
	Add(p, "plain", plain, plain)
	Add(p, "plain", plain, plain)
	var got []string
	for _, f := range p.Check(s) {
		got = append(got, f.Pos.File+":"+strconv.Itoa(f.Pos.Line)+":"+strconv.Itoa(f.Pos.Column)+" "+f.Message)
	}
	place, other := p.Names()["actions/buy"], p.Names()["actions/plain"]
	want := []string{
		"galley.yaml:11:35 galley.yaml:11 says quantity is int; " + place + " has string",
		"galley.yaml:12:7 galley.yaml:12 says note is string?; " + place + " has string",
		"galley.yaml:9:5 " + place + " has wehn in the input of buy; galley.yaml:9 does not declare it",
		"galley.yaml:13:7 galley.yaml:13 says the input of buy has when; " + place + " has none",
		"galley.yaml:15:7 galley.yaml:15 says total is money; " + place + " has float64",
		"galley.yaml:16:3 action plain is registered twice, at " + other + " and at " + other,
		"galley.yaml:16:3 galley.yaml:16 says that plain has no input; " + other + " has goaction.input",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.HasPrefix(place, "goaction_test.go:") {
		t.Errorf("the place is %s", place)
	}
}

// TestCodecKeepsEveryValue carries a record of all types to a struct and back.
func TestCodecKeepsEveryValue(t *testing.T) {
	type inner struct{ A int64 }
	type all struct {
		Text  string
		Count int
		Share float64
		Open  bool
		At    time.Time
		Day   time.Time
		Span  time.Duration
		Maybe *string
		Tags  []string
		Parts []inner
		Data  json.RawMessage
	}
	text, number := value.Type{Kind: value.TypeString}, value.Type{Kind: value.TypeInt}
	part := value.NewShape("part", []value.Field{{Name: "a", Type: number}})
	s := value.NewShape("all", []value.Field{
		{Name: "text", Type: text}, {Name: "count", Type: number},
		{Name: "share", Type: value.Type{Kind: value.TypeFloat}}, {Name: "open", Type: value.Type{Kind: value.TypeBool}},
		{Name: "at", Type: value.Type{Kind: value.TypeTime}}, {Name: "day", Type: value.Type{Kind: value.TypeDate}},
		{Name: "span", Type: value.Type{Kind: value.TypeDuration}},
		{Name: "maybe", Type: value.Type{Kind: value.TypeText, Optional: true}},
		{Name: "tags", Type: value.Type{Kind: value.TypeList, Elem: &text}},
		{Name: "parts", Type: value.Type{Kind: value.TypeList, Elem: &value.Type{Kind: value.TypeObject, Fields: part}}},
		{Name: "data", Type: value.Type{Kind: value.TypeJSON}},
	})
	full := value.Record{Shape: s, Slots: []value.Value{value.OfText("ü"), value.OfInt(-7), value.OfFloat(0.1),
		value.OfBool(true), value.OfMillis(value.Time, -1), value.OfMillis(value.Date, 86400000*3),
		value.OfMillis(value.Duration, 1500), value.OfText("x"),
		value.OfList([]value.Value{value.OfText("a"), value.OfText("")}),
		value.OfList([]value.Value{value.OfRecord(value.Record{Shape: part, Slots: []value.Value{value.OfInt(1)}})}),
		value.OfJSON(`{"a":1}`)}}
	empty := full.Clone()
	empty.Set("maybe", value.OfNull())
	empty.Set("tags", value.OfList([]value.Value{}))
	p := New()
	fn := func(_ *Call, in all) (all, error) { return in, nil }
	Add(p, "a", fn, fn)
	for _, in := range []value.Record{full, empty} {
		out, err := Runner{}.Run(t.Context(), p, action.Run{Name: "actions/a", Input: in, Output: s, Bounds: bounds},
			actiontest.NewMemory(actiontest.Shop()))
		if err != nil || !out.Equal(value.OfRecord(in)) {
			t.Errorf("got %v %v\nwant %v", out, err, in)
		}
	}
	big := func(_ *Call, in all) (all, error) { in.Count = 1 << 60; return in, nil }
	Add(p, "b", big, big)
	_, err := Runner{}.Run(t.Context(), p, action.Run{Name: "actions/b", Input: full, Output: s, Bounds: bounds},
		actiontest.NewMemory(actiontest.Shop()))
	if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "output.count") {
		t.Errorf("got %v, want a fault that names output.count", err)
	}
}

// BenchmarkStep is what one read and one write of a record cost beside the host.
func BenchmarkStep(b *testing.B) {
	p := New()
	s := actiontest.Shop("a")
	h := actiontest.NewMemory(s)
	id := h.Add("products", "name", value.OfText("Pen"), "price", value.OfInt(1), "listed", value.OfBool(true))
	fn := func(c *Call, _ none) (none, error) {
		var x product
		if err := c.Get("products", string(id), &x); err != nil {
			return none{}, err
		}
		x.Stock++
		return none{}, c.Update("products", &x)
	}
	Add(p, "a", fn, fn)
	b.ReportAllocs()
	for b.Loop() {
		h.Calls = h.Calls[:0]
		if _, err := (Runner{}).Run(context.Background(), p, action.Run{Name: "actions/a", Bounds: bounds}, h); err != nil {
			b.Fatal(err)
		}
	}
}
