package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/system"
	"github.com/galleybackend/galley/internal/value"
)

func appendOutput(r engine.Reply) []byte { return value.AppendJSON(nil, r.Output) }

// small is an app with one collection that everybody may use.
const small = `
app: small
collections:
  notes:
    fields:
      text: {type: string, max: 100}
      count: {type: int, default: 0}
    keep: 24h
    allow:
      read: true
      create: {if: true, fields: [text]}
      update: {if: true, fields: [text, count]}
      delete: true
`

func TestRatesAreCountedByCallerAndTold(t *testing.T) {
	w := open(t, yaml(small), func(c *engine.Config) {
		c.Limits, c.Rate = true, spec.Rate{Count: 3, Per: time.Minute}
	})
	list := func(ip string) (*observe.Call, error) {
		seen := &observe.Call{}
		_, err := w.engine.Query(t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.List,
			Target: "notes", Request: engine.Request{IP: ip}, Seen: seen})
		return seen, err
	}
	for i := range 3 {
		seen, err := list("192.0.2.1")
		if err != nil || len(seen.Limits) != 1 || seen.Limits[0].Left != 2-i {
			t.Fatal(err, seen.Limits)
		}
	}
	seen, err := list("192.0.2.1")
	f := fault.From(err)
	if f.Kind != fault.Exhausted || f.RetryAfter != 20 || !seen.Limits[0].Over {
		t.Fatalf("got %+v %+v", f, seen.Limits)
	}
	if _, err := list("192.0.2.2"); err != nil {
		t.Fatal("another address was counted with the first:", err)
	}
	w.create("notes", `{"text":"admins are not counted"}`)
}

func TestActionHasARateOfItsOwn(t *testing.T) {
	w := open(t, shop(t), func(c *engine.Config) { c.Limits = true })
	ana, pen := buyers(w, 1)[0], product(w, "P", 1000)
	var over *fault.Fault
	for i := range 61 {
		_, err := w.engine.Execute(t.Context(), checkout(ana, pen, fmt.Sprint(i)))
		if err != nil {
			over = fault.From(err)
			if i != 60 {
				t.Fatalf("call %d: %v", i, err)
			}
		}
	}
	if over == nil || over.Kind != fault.Exhausted || over.RetryAfter < 1 {
		t.Fatalf("got %+v", over)
	}
}

func TestAnActionThatWritesIsNotThereForReaders(t *testing.T) {
	w := open(t, shop(t), nil)
	ana := buyers(w, 1)[0]
	for _, params := range []url.Values{nil, {"items": {"nonsense"}}, {"nothing": {"of"}}} {
		_, err := w.engine.Query(t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Action,
			Target: "checkout", Credential: string(ana), Params: params})
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("with %v it is %v", params, err)
		}
	}
}

func TestActionInABatchHasItsRate(t *testing.T) {
	w := open(t, shop(t), func(c *engine.Config) { c.Limits = true })
	ana, pen := buyers(w, 1)[0], product(w, "P", 1000)
	batch := func(n int, key string) error {
		all := engine.Call{Verb: engine.Batch, Credential: string(ana), Key: key}
		for range n {
			part := checkout(ana, pen, "")
			part.Credential = ""
			all.Batch = append(all.Batch, part)
		}
		_, err := w.engine.Execute(t.Context(), all)
		return err
	}
	if err := batch(50, "a"); err != nil {
		t.Fatal("50 of 60 a minute:", err)
	}
	f := fault.From(batch(11, "b"))
	if f.Kind != fault.Exhausted || f.At.Request != 11 {
		t.Fatalf("the 61st call in a minute was answered with %+v", f)
	}
}

func TestASumBeyondItsNumbersIsRefused(t *testing.T) {
	w := open(t, yaml(`
app: sums
collections:
  loads:
    fields: {f: float, n: int}
    allow: {read: true}
`), nil)
	for range 1100 {
		w.create("loads", `{"f":1.7e308,"n":9007199254740991}`)
	}
	for of, want := range map[string]bool{"sum(f)": false, "avg(f)": false, "sum(n)": false,
		"max(f)": true, "avg(n)": true} {
		_, err := w.engine.Query(t.Context(), engine.Call{Verb: engine.Aggregate, Target: "loads",
			Params: url.Values{"select": {"x:" + of}}})
		if (err == nil) != want || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", of, err)
		}
	}
}

func TestTheJournalKeepsNothingToGuessAPasswordBy(t *testing.T) {
	secret := action.House{Name: "auth/sign-in", Secret: true,
		Input: value.NewShape("in", []value.Field{
			{Name: "password", Type: value.Type{Kind: value.TypeString}}}),
		Run: func(context.Context, action.Host, action.Caller, value.Record) (value.Value, error) {
			return value.OfNull(), nil
		}}
	w := open(t, yaml(small), func(c *engine.Config) { c.House = []action.House{secret} })
	for _, password := range []string{"one", "two"} {
		_, err := w.engine.Execute(t.Context(), engine.Call{Verb: engine.Action,
			Target: "auth/sign-in", Key: "key-" + password,
			Body: []byte(`{"password":"` + password + `"}`)})
		if err != nil {
			t.Fatal(err)
		}
	}
	found := w.entries()
	n := len(found)
	if n < 2 || found[n-2].Origin.Fingerprint != found[n-1].Origin.Fingerprint {
		t.Fatalf("the fingerprints of %d calls tell their passwords apart", n)
	}
}

func TestKeysHaveOneForm(t *testing.T) {
	w := open(t, yaml(small), nil)
	for _, key := range []string{"a b", "ä", "\x00", strings.Repeat("x", 256)} {
		_, err := w.engine.Execute(t.Context(), engine.Call{Verb: engine.Create, Target: "notes",
			Body: []byte(`{"text":"a"}`), Key: key})
		if !fault.Is(err, fault.Malformed) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestDenialIsNotKeptUnderItsKey(t *testing.T) {
	w := open(t, shop(t), nil)
	pen := product(w, "P", 1)
	call := checkout("", pen, "k")
	if _, err := w.engine.Execute(t.Context(), call); !fault.Is(err, fault.Unauthenticated) {
		t.Fatal(err)
	}
	for _, e := range w.entries() {
		if e.Origin.Operation == "actions.checkout" {
			t.Fatal("a denied call left an entry")
		}
	}
}

// TestWhatNobodyMayCreateAsksForNoKey sends no key for a create that no rule opens: the
// answer is the no, also in a batch.
func TestWhatNobodyMayCreateAsksForNoKey(t *testing.T) {
	w := open(t, yaml(kanban), nil)
	ana := string(w.create("users", `{"name":"ana","email":"ana@example.com"}`))
	for who, want := range map[string]fault.Kind{"": fault.Unauthenticated, ana: fault.Denied} {
		call := engine.Call{ID: ident.NewCall(), Verb: engine.Create, Target: "news",
			Credential: who, Body: []byte(`{"name":"a"}`)}
		_, err := w.engine.Execute(t.Context(), call)
		if !fault.Is(err, want) {
			t.Errorf("%q alone: %v", who, err)
		}
		batch := engine.Call{ID: ident.NewCall(), Verb: engine.Batch, Credential: who,
			Batch: []engine.Call{call}}
		if _, err = w.engine.Execute(t.Context(), batch); !fault.Is(err, want) {
			t.Errorf("%q in a batch: %v", who, err)
		}
	}
}

func TestStoredValuesAreBoundedWhoeverWrites(t *testing.T) {
	w := open(t, yaml(small), nil)
	id := w.create("notes", `{"text":"a","count":9007199254740991}`)
	for _, body := range []string{`{"count":{"$add":1}}`, `{"count":9007199254740992}`,
		`{"count":1e400}`, `{"count":NaN}`, `{"count":1.0}`} {
		_, err := w.engine.Execute(t.Context(), engine.Call{Verb: engine.Update, Target: "notes",
			Record: string(id), Body: []byte(body), Key: "k" + body[9:10]})
		if k := fault.From(err).Kind; k != fault.Invalid && k != fault.Malformed {
			t.Errorf("%s: %v", body, err)
		}
	}
	if n := w.get("notes", id).Get("count").Int(); n != value.IntMax {
		t.Errorf("count is %d", n)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	w := open(t, yaml(small), nil)
	body := []byte(`{"text":"` + strings.Repeat("a", engine.BodyMax) + `"}`)
	_, err := w.engine.Execute(t.Context(),
		engine.Call{Verb: engine.Create, Target: "notes", Body: body, Key: "k"})
	if !fault.Is(err, fault.TooLarge) {
		t.Error(err)
	}
}

func TestSweepDeletesWhatIsOlderThanKeep(t *testing.T) {
	w := open(t, yaml(small), nil)
	for range 450 {
		w.create("notes", `{"text":"old"}`)
	}
	w.clock.Add(25 * time.Hour.Milliseconds())
	young := w.create("notes", `{"text":"young"}`)
	n, err := w.engine.Sweep(t.Context())
	if err != nil || n != 450 {
		t.Fatalf("%d deleted, %v", n, err)
	}
	a, err := w.engine.Query(t.Context(), engine.Call{Verb: engine.List, Target: "notes"})
	if err != nil || len(a.Items) != 1 || a.Items[0].Record.Slots[0].Text() != string(young) {
		t.Fatalf("%d left, %v", len(a.Items), err)
	}
	if e := w.entries(); e[len(e)-1].Origin.Subject.String() != "system/keep" {
		t.Errorf("the sweep stands as %s", e[len(e)-1].Origin.Subject)
	}
}

func TestPagesNeitherSkipNorRepeat(t *testing.T) {
	w := open(t, yaml(small), nil)
	for i := range 57 {
		w.create("notes", fmt.Sprintf(`{"text":"t%d","count":%d}`, i%3, i%5))
	}
	for _, sort := range []string{"text", "-text,count", "count,-text", "-count", "-id", "created"} {
		seen, next := map[string]bool{}, ""
		for pages := 0; ; pages++ {
			params := map[string][]string{"sort": {sort}, "limit": {"4"}}
			if next != "" {
				params["cursor"] = []string{next}
			}
			a, err := w.engine.Query(t.Context(),
				engine.Call{Verb: engine.List, Target: "notes", Params: params})
			if err != nil {
				t.Fatal(sort, err)
			}
			for _, item := range a.Items {
				id := item.Record.Slots[spec.SlotID].Text()
				if seen[id] {
					t.Fatalf("sort=%s: %s came twice", sort, id)
				}
				seen[id] = true
			}
			if next = a.Next; next == "" {
				break
			}
		}
		if len(seen) != 57 {
			t.Errorf("sort=%s: %d of 57 came", sort, len(seen))
		}
	}
}

func TestFailingChangeLeavesTheOldAppInForce(t *testing.T) {
	w := open(t, yaml(small), nil)
	reason := errors.New("no")
	err := w.engine.Swap(compile(t, shop(t)), nil, func() error { return reason })
	if err != reason || w.engine.App() != w.app {
		t.Error("the app was swapped:", err)
	}
}

// withAuth opens a world with real sign-in.
func withAuth(t *testing.T) *world {
	t.Helper()
	w := open(t, shop(t), nil)
	accounts := auth.NewAccounts(w.now)
	w.config.Authenticator = accounts
	w.config.House = system.New(w.store, accounts, auth.NewHasher(), nil).Actions(w.app.Spec)
	w.engine = engine.New(w.config)
	return w
}

func (w *world) house(name, credential, body string) (engine.Reply, error) {
	return w.engine.Execute(w.t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Action,
		Target: name, Credential: credential, Body: []byte(body), Key: "k" + name,
		Request: engine.Request{IP: "192.0.2.1"}})
}

func TestSignInOpensASessionAndSignOutEndsItAtOnce(t *testing.T) {
	w := withAuth(t)
	r, err := w.house("auth/sign-up", "", `{"email":"Ana@Example.com","password":"a long password","name":"Ana"}`)
	if err != nil {
		t.Fatal(err, fault.From(err).Items, fault.From(err).Cause)
	}
	session := r.Output.Record()
	token, id := session.Get("token").Text(), session.Get("user").Text()
	get := func() error {
		_, err := w.engine.Query(t.Context(), engine.Call{Verb: engine.Get, Target: "users",
			Record: id, Credential: token})
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	_, err = w.house("auth/sign-up", "", `{"email":"Ana@Example.com","password":"a long password","name":"Ana"}`)
	if fault.From(err).CodeOr() != "reply_not_kept" {
		t.Error("a secret was kept:", err)
	}
	_, err = w.house("auth/sign-up", "", `{"email":"x@example.com","password":"a long password","wallet":1}`)
	if !fault.Is(err, fault.Invalid) {
		t.Error("sign-up took a wallet:", err)
	}
	if _, err = w.house("auth/sign-out", token, `{}`); err != nil {
		t.Fatal(err)
	}
	if err := get(); !fault.Is(err, fault.Unauthenticated) {
		t.Error("the session lives on:", err)
	}
	for _, e := range w.entries() {
		for _, c := range e.Changes {
			if strings.HasPrefix(c.Collection, "_") {
				t.Error("a quiet collection is in the journal:", c.Collection)
			}
		}
		if e.Reply.Kind() != value.Absent && strings.Contains(string(value.AppendJSON(nil, e.Reply)), token) {
			t.Error("a token is in the journal")
		}
	}
}

// TestWhoAskedBeforeIsAskedAgain has a session end between two writes of the same
// credential: who was known is nobody then, whatever he asks, and hears nothing of what he
// did before.
func TestWhoAskedBeforeIsAskedAgain(t *testing.T) {
	w := withAuth(t)
	r, err := w.house("auth/sign-up", "", `{"email":"ana@example.com","password":"a long password","name":"Ana"}`)
	if err != nil {
		t.Fatal(err)
	}
	token := r.Output.Record().Get("token").Text()
	id := r.Output.Record().Get("user").Text()
	write := func(key, body string) (engine.Reply, error) {
		return w.engine.Execute(t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Update,
			Target: "users", Record: id, Credential: token, Key: key, Body: []byte(body),
			Request: engine.Request{IP: "192.0.2.1"}})
	}
	for n, name := range []string{"Anna", "Anne", "Anni"} {
		if _, err := write(fmt.Sprint("k", n), `{"name":"`+name+`"}`); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := write("k1", `{"name":"Anne"}`); err != nil || !r.Replayed {
		t.Fatal(r, err)
	}
	before := len(w.entries())
	if _, err = w.house("auth/sign-out", token, `{}`); err != nil {
		t.Fatal(err)
	}
	signedOut := len(w.entries())
	for _, call := range [][2]string{
		{"new", `{"name":"Eve"}`}, {"", `{"name":"Eve"}`}, {"k1", `{"name":"Anne"}`},
		{"k1", `{"name":"another input"}`}, {"new", `{"name":7}`}, {"new", `{`},
	} {
		r, err := write(call[0], call[1])
		if !fault.Is(err, fault.Unauthenticated) || r.Replayed || r.Body != "" {
			t.Errorf("%s %s: %v, %v", call[0], call[1], r, err)
		}
	}
	if n := len(w.entries()); n != signedOut {
		t.Errorf("%d entries, of which %d before the end of the session", n, before)
	}
}

// broken is a runner that answers with what it is told.
type broken struct {
	action.Runner
	out value.Value
	err error
	do  func(context.Context, action.Host) error
}

func (b broken) Run(ctx context.Context, _ action.Program, _ action.Run, h action.Host) (
	value.Value, error) {
	if b.do != nil {
		return b.out, b.do(ctx, h)
	}
	return b.out, b.err
}

func TestWhatCodeDoesWrongIsAnInternalError(t *testing.T) {
	put := func(change func(value.Record)) func(context.Context, action.Host) error {
		return func(ctx context.Context, h action.Host) error {
			r := value.NewRecord(h.Shape("discounts"))
			r.Set("code", value.OfText("ABCD"))
			r.Set("percent", value.OfInt(5))
			r.Set("limit", value.OfInt(5))
			change(r)
			_, err := h.Put(ctx, "discounts", r)
			return err
		}
	}
	cases := []struct {
		name   string
		runner broken
		kind   fault.Kind
		cause  string
	}{
		{"no output", broken{}, fault.Internal, "output"},
		{"unknown refusal", broken{err: fault.WithCode(fault.Refused, "nope", "")}, fault.Internal, "nope"},
		{"known refusal", broken{err: fault.WithCode(fault.Refused, "card", "")}, fault.Internal, "card"},
		{"house refusal", broken{err: fault.WithCode(fault.Refused, "not_found", "")}, fault.NotFound, ""},
		{"app refusal", broken{err: fault.WithCode(fault.Refused, "voucher_claimed", "")}, fault.Refused, ""},
		{"missing field", broken{do: put(func(r value.Record) { r.Set("code", value.Value{}) })},
			fault.Internal, "discounts.code is required"},
		{"wrong type", broken{do: put(func(r value.Record) { r.Set("percent", value.OfText("5")) })},
			fault.Internal, "discounts.percent must be"},
		{"over a bound", broken{do: put(func(r value.Record) { r.Set("percent", value.OfInt(91)) })},
			fault.Invalid, ""},
		{"broken check", broken{do: put(func(r value.Record) { r.Set("uses", value.OfInt(6)) })},
			fault.Refused, ""},
		{"quiet collection", broken{do: func(ctx context.Context, h action.Host) error {
			_, err := h.Get(ctx, "_sessions", h.NewID())
			return err
		}}, fault.Internal, "no collection"},
		{"too many calls", broken{do: func(ctx context.Context, h action.Host) (err error) {
			for range 10_001 {
				if _, err = h.Get(ctx, "discounts", h.NewID()); !fault.Is(err, fault.NotFound) {
					return err
				}
			}
			return err
		}}, fault.Timeout, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := open(t, shop(t), func(cfg *engine.Config) {
				cfg.Runners = map[string]action.Runner{"ts": c.runner}
			})
			ana := buyers(w, 1)[0]
			_, err := w.engine.Execute(t.Context(), checkout(ana, ana, "k"))
			f := fault.From(err)
			if err == nil || f.Kind != c.kind || c.cause != "" &&
				(f.Cause == nil || !strings.Contains(f.Cause.Error(), c.cause)) {
				t.Errorf("got %v %v, cause %v", f.Kind, f.Message, f.Cause)
			}
			a, err := w.engine.Query(t.Context(), engine.Call{Verb: engine.List, Target: "discounts",
				Trusted: true, Subject: ident.Subject{Who: ident.Admin}})
			if err != nil || len(a.Items) != 0 {
				t.Errorf("something was kept: %d %v", len(a.Items), err)
			}
		})
	}
}

func TestJourneyTellsStagesRulesAndOutcome(t *testing.T) {
	w := open(t, shop(t), nil)
	people, pen := buyers(w, 2), product(w, "P", 0)
	call := checkout(people[0], pen, "k")
	call.Seen = &observe.Call{}
	_, err := w.engine.Execute(t.Context(), call)
	if err == nil {
		t.Fatal("it was sold")
	}
	s := call.Seen
	if s.Operation != "actions.checkout" || s.Outcome != observe.Refused || s.Code != "out_of_stock" ||
		s.Who != "users/"+string(people[0]) {
		t.Errorf("got %+v", s)
	}
	var last observe.Verdict
	for _, v := range s.Rules {
		last = v
	}
	if last.Yes || last.Rule != "products.check.out_of_stock" || !strings.HasPrefix(last.Place, "galley.yaml:") ||
		last.Explain == nil || !strings.Contains(last.Explain(), "record.stock") {
		t.Errorf("got %+v", last)
	}
	var names []string
	for _, st := range s.Stages {
		names = append(names, st.Name)
	}
	if got := strings.Join(names, " "); got != "authenticate resolve admit write authorize perform" {
		t.Errorf("stages: %s", got)
	}
}

func TestExpansionIsBounded(t *testing.T) {
	w := open(t, yaml(`
app: tags
collections:
  tags:
    fields:
      name: string
    allow:
      read: true
  notes:
    fields:
      tags: {type: "tags[]", max: 5000}
    allow:
      read: true
`), nil)
	var ids []string
	for range 2 {
		for range 5 {
			c := engine.Call{Verb: engine.Batch}
			for range 1000 {
				c.Batch = append(c.Batch, engine.Call{Verb: engine.Create, Target: "tags",
					Body: []byte(`{"name":"t"}`)})
			}
			for _, r := range w.admin(c).Batch {
				ids = append(ids, string(r.Record))
			}
		}
		w.create("notes", `{"tags":["`+strings.Join(ids[len(ids)-5000:], `","`)+`"]}`)
	}
	list := func() (engine.Answer, error) {
		return w.engine.Query(t.Context(), engine.Call{Verb: engine.List, Target: "notes",
			Params: map[string][]string{"expand": {"tags"}}})
	}
	a, err := list()
	if err != nil || len(a.Items[0].Expand[0].Items) != 5000 {
		t.Fatal(err)
	}
	extra := w.create("tags", `{"name":"one more"}`)
	w.create("notes", `{"tags":["`+string(extra)+`"]}`)
	if _, err := list(); !fault.Is(err, fault.Malformed) {
		t.Error(err)
	}
}

func TestPagesTogetherAreTheWholeList(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	w := listsApp(t)
	top := w.create("shelves", `{"name":"t","keeper":"`+string(w.create("users",
		`{"name":"Bob","email":"bob@example.com"}`))+`"}`)
	for range 60 {
		rank := []string{"null", "1", "2", "3"}[random.IntN(4)]
		w.create("things", fmt.Sprintf(`{"name":"n%d","price":%d,"cost":1,"shelf":%q,"rank":%s,"listed":true}`,
			random.IntN(4), random.IntN(3), top, rank))
	}
	list := func(params url.Values) engine.Answer {
		a, err := w.engine.Query(t.Context(),
			engine.Call{Verb: engine.List, Target: "things", Params: params})
		if err != nil {
			t.Fatal(params, err)
		}
		return a
	}
	ids := func(a engine.Answer) (out []string) {
		for _, i := range a.Items {
			out = append(out, i.Record.Slots[spec.SlotID].Text())
		}
		return out
	}
	fields := []string{"name", "price", "rank", "created", "id", "listed"}
	for range 60 {
		random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		var sort []string
		for _, f := range fields[:1+random.IntN(3)] {
			sort = append(sort, []string{"", "-"}[random.IntN(2)]+f)
		}
		params := url.Values{"sort": {strings.Join(sort, ",")}, "limit": {"500"}}
		if random.IntN(2) == 0 {
			params.Set("filter", "price < 2 || rank == 1")
		}
		whole := ids(list(params))
		params.Set("limit", fmt.Sprint(1+random.IntN(9)))
		var pages []string
		for {
			a := list(params)
			pages = append(pages, ids(a)...)
			if a.Next == "" {
				break
			}
			params.Set("cursor", a.Next)
		}
		if !slices.Equal(pages, whole) || len(whole) == 0 {
			t.Fatalf("sort=%s: got %d items in pages, %d at once, in another order",
				params.Get("sort"), len(pages), len(whole))
		}
	}
}

func TestTheSameRecordIsExpandedABoundedNumberOfTimes(t *testing.T) {
	w := open(t, yaml(`
app: tags
collections:
  tags:
    fields:
      name: string
    allow:
      read: true
  notes:
    fields:
      lines: {type: [{tags: {type: "tags[]", max: 5000}}]}
    allow:
      read: true
`), nil)
	tag := string(w.create("tags", `{"name":"t"}`))
	body := `{"lines":[{"tags":["` + strings.Repeat(tag+`","`, 4998) + tag + `"]}]}`
	list := func() error {
		_, err := w.engine.Query(t.Context(), engine.Call{Verb: engine.List, Target: "notes",
			Params: map[string][]string{"expand": {"lines.tags"}}})
		return err
	}
	for range 10 { // each with a list of one object, in which one tag stands 4,999 times
		w.create("notes", body)
	}
	if err := list(); err != nil {
		t.Fatal(err)
	}
	w.create("notes", body)
	if err := list(); !fault.Is(err, fault.Malformed) || !strings.Contains(err.Error(), "50000") {
		t.Error(err)
	}
}

func TestAFieldIsComparedWithWhateverItMayHold(t *testing.T) {
	w := open(t, yaml(`
app: long
collections:
  notes:
    fields:
      line: {type: string, max: 1000}
      body: text
    allow:
      read: true
`), nil)
	line, body := strings.Repeat("l", 1000), strings.Repeat("b", 3000)
	w.create("notes", `{"line":"`+line+`","body":"`+body+`"}`)
	for _, c := range []struct {
		field, text string
		found       int
	}{{"line", line, 1}, {"body", body, 1}, {"line", line + "x", 0}, {"line", "", 0}} {
		a, err := w.engine.Query(t.Context(), engine.Call{Verb: engine.List, Target: "notes",
			Params: map[string][]string{c.field: {c.text}}})
		if err != nil || len(a.Items) != c.found {
			t.Errorf("%s with %d letters: %d found, %v", c.field, len(c.text), len(a.Items), err)
		}
	}
}

func TestJourneyTellsWhichRuleFilteredAList(t *testing.T) {
	w := open(t, shop(t), nil)
	ana := buyers(w, 1)[0]
	for who, some := range map[string]bool{string(ana): true, "": false} {
		call := engine.Call{Verb: engine.List, Target: "orders", Credential: who,
			Seen: &observe.Call{}}
		if _, err := w.engine.Query(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		if len(call.Seen.Rules) != 1 {
			t.Fatalf("%q: %+v", who, call.Seen.Rules)
		}
		v := call.Seen.Rules[0]
		if v.Rule != "orders.allow.read" || !v.Query || v.Yes != some || v.Place == "" ||
			v.Explain() != "record.customer == auth" {
			t.Errorf("%q: got %+v that says %s", who, v, v.Explain())
		}
	}
}

func TestNobodyHoldsAllPlaces(t *testing.T) {
	const most, greedy = 256, "192.0.2.1"
	inside, release := make(chan bool, most), make(chan bool)
	w := open(t, yaml(small), func(c *engine.Config) {
		c.Limits, c.Rate = true, spec.Rate{Count: 10_000, Per: time.Minute}
		c.House = []action.House{{Name: "wait",
			Prepare: func(_ context.Context, c action.Caller, in value.Record) (value.Record, error) {
				if c.Address == greedy {
					inside <- true
					<-release
				}
				return in, nil
			},
			Run: func(context.Context, action.Host, action.Caller, value.Record) (value.Value, error) {
				return value.OfNull(), nil
			}}}
	})
	call := func(ip string) error {
		_, err := w.engine.Execute(t.Context(), engine.Call{ID: ident.NewCall(),
			Verb: engine.Action, Target: "wait", Request: engine.Request{IP: ip}})
		return err
	}
	var all sync.WaitGroup
	for range most {
		all.Go(func() {
			if err := call(greedy); err != nil {
				t.Error(err)
			}
		})
		<-inside
	}
	if f := fault.From(call(greedy)); f.Kind != fault.Exhausted || f.RetryAfter != 1 ||
		!strings.Contains(f.Message, "256") {
		t.Errorf("one more than may be under way: %+v", f)
	}
	if err := call("192.0.2.2"); err != nil {
		t.Error("another is held back:", err)
	}
	close(release)
	all.Wait()
	if err := call(greedy); err != nil {
		t.Error("all had left:", err)
	}
}

// asking sends a call of the house from an address.
func (w *world) asking(name, address, body string) error {
	_, err := w.engine.Execute(w.t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Action,
		Target: name, Body: []byte(body), Request: engine.Request{IP: address}})
	return err
}

func TestAStrangerWhoGuessesLocksNobodyOut(t *testing.T) {
	w := withAuth(t)
	tries := auth.NewTries(w.now)
	house := system.New(w.store, auth.NewAccounts(w.now), auth.NewHasher(), tries)
	w.config.House = house.Actions(w.app.Spec)
	w.engine = engine.New(w.config)
	const right = `{"email":"ana@example.com","password":"a long password"}`
	wrong := func(address string, n int) fault.Kind {
		return fault.From(w.asking("auth/sign-in", address,
			fmt.Sprintf(`{"email":"ana@example.com","password":"guess %d"}`, n))).Kind
	}
	err := w.asking("auth/sign-up", "198.51.100.1",
		`{"email":"ana@example.com","password":"a long password","name":"Ana"}`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		want := fault.Unauthenticated
		if i >= auth.TriesAccount {
			want = fault.Exhausted
		}
		// The last half of an IPv6 address is its owner's to choose.
		if got := wrong(fmt.Sprintf("2001:db8::%d", i), i); got != want {
			t.Errorf("guess %d is %v, want %v", i, got, want)
		}
	}
	if err := w.asking("auth/sign-in", "2001:db8::99", right); !fault.Is(err, fault.Exhausted) {
		t.Errorf("a guesser who is stopped learns that a password is right: %v", err)
	}
	if err := w.asking("auth/sign-in", "198.51.100.2", right); err != nil {
		t.Errorf("the owner cannot sign in at a new place: %v", err)
	}
	for range auth.TriesEverywhere - auth.TriesAccount - 1 { // others, from everywhere
		if err := tries.Take("account ana@example.com", auth.TriesEverywhere); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []fault.Kind{fault.Unauthenticated, fault.Exhausted} {
		if got := wrong(fmt.Sprintf("203.0.113.%d", i), i); got != want {
			t.Errorf("guess %d of many strangers is %v, want %v", i, got, want)
		}
	}
	if err := w.asking("auth/sign-in", "198.51.100.2", right); err != nil {
		t.Errorf("the owner cannot sign in where he is signed in: %v", err)
	}
	w.clock.Add(auth.TriesTime.Milliseconds())
	if err := w.asking("auth/sign-in", "198.51.100.3", right); err != nil {
		t.Errorf("the owner cannot sign in later: %v", err)
	}
}

func TestOneNetworkMakesAFewAccounts(t *testing.T) {
	w := withAuth(t)
	tries := auth.NewTries(w.now)
	house := system.New(w.store, auth.NewAccounts(w.now), auth.NewHasher(), tries)
	w.config.House = house.Actions(w.app.Spec)
	w.engine = engine.New(w.config)
	sign := func(address string, n int) error {
		return w.asking("auth/sign-up", address,
			fmt.Sprintf(`{"email":"u%d@example.com","password":"a long password","name":"U"}`, n))
	}
	if err := sign("192.0.2.1", 1); err != nil {
		t.Fatal(err)
	}
	for range auth.TriesSignUp - 1 {
		if err := tries.Take("sign-up from 192.0.2.1", auth.TriesSignUp); err != nil {
			t.Fatal(err)
		}
	}
	if err := sign("192.0.2.1", 1000); !fault.Is(err, fault.Exhausted) {
		t.Errorf("one more: %v", err)
	}
	if err := sign("192.0.2.2", 1001); err != nil {
		t.Errorf("from another address: %v", err)
	}
}
