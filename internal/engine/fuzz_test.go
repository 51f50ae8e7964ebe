package engine_test

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// listsApp is the app of the script about lists, with some records.
func listsApp(t testing.TB) *world {
	t.Helper()
	_, files := archive(t, "testdata/script/lists.txtar")
	// The processes of a fuzzing share their inputs, so they must share their ids.
	seed := uint64(0)
	w := open(t, files, func(c *engine.Config) {
		c.Seed = func() uint64 { seed += 2; return seed }
	})
	ana := w.create("users", `{"name":"Ana","email":"ana@example.com"}`)
	top := w.create("shelves", `{"name":"top","keeper":"`+string(ana)+`"}`)
	for _, rank := range []string{"null", "1", "2", "1"} {
		w.create("things", `{"name":"pen","price":5,"cost":777,"note":"hush","shelf":"`+string(top)+
			`","rank":`+rank+`,"listed":true}`)
	}
	return w
}

// FuzzListParams sends any parameters: the answer is a page or a mistake of the caller,
// and never tells what is hidden.
func FuzzListParams(f *testing.F) {
	f.Add("filter=price < 7 %26%26 name != \"d\"&sort=-price,name&limit=2&fields=name&expand=shelf.keeper&total=true")
	f.Add("select=n:count(),sold:sum(price)&group=shelf&sort=-n")
	f.Add("cursor=AAAA&price=5&rank=1&shelf=01k9vq3m8de00r40m30e209185")
	f.Add("filter=shelf.keeper.email.startsWith('a')&sort=cost")
	w := listsApp(f)
	f.Fuzz(func(t *testing.T, text string) {
		params, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		for _, verb := range []engine.Verb{engine.List, engine.Aggregate} {
			a, err := w.engine.Query(t.Context(),
				engine.Call{Verb: verb, Target: "things", Params: params})
			if err != nil {
				f := fault.From(err)
				if f.Kind != fault.Malformed {
					t.Fatalf("%q: %v %v cause %v", text, f.Kind, f, f.Cause)
				}
				continue
			}
			for _, item := range a.Items {
				line := string(value.AppendRecord(nil, item.Record))
				if strings.Contains(line, "777") || strings.Contains(line, "hush") ||
					strings.Contains(line, "example.com") {
					t.Fatalf("%q: told %s", text, line)
				}
			}
		}
	})
}

// FuzzCursor sends any cursor: only those that were given out are taken.
func FuzzCursor(f *testing.F) {
	w := listsApp(f)
	page := func(t testing.TB, cursor string) (engine.Answer, error) {
		params := url.Values{"sort": {"rank,-name"}, "limit": {"1"}}
		if cursor != "" {
			params.Set("cursor", cursor)
		}
		return w.engine.Query(t.Context(), engine.Call{Verb: engine.List, Target: "things", Params: params})
	}
	given := map[string]bool{}
	for next := ""; ; {
		a, err := page(f, next)
		if err != nil {
			f.Fatal(err)
		}
		if next = a.Next; next == "" {
			break
		}
		given[next] = true
		f.Add(next)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		if cursor == "" || given[cursor] {
			return
		}
		_, err := page(t, cursor)
		if err == nil || fault.From(err).CodeOr() != "invalid_cursor" {
			t.Fatalf("%q was taken: %v", cursor, err)
		}
	})
}

// FuzzBody sends any body to each operation that takes one.
func FuzzBody(f *testing.F) {
	text, err := os.ReadFile("testdata/script/records.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if i := strings.IndexByte(line, '{'); i > 0 && strings.HasPrefix(line, "create") {
			f.Add([]byte(line[i : strings.LastIndexByte(line, '}')+1]))
		}
	}
	w := open(f, shop(f), nil)
	ana := w.create("users", `{"name":"Ana","email":"ana@example.com","wallet":1}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, c := range []engine.Call{
			{Verb: engine.Action, Target: "checkout"}, {Verb: engine.Action, Target: "claim_voucher"},
			{Verb: engine.Update, Target: "users", Record: string(ana)},
			{Verb: engine.Create, Target: "orders"},
		} {
			c.Body, c.Key, c.Credential = body, "k", string(ana)
			c.DryRun = true
			_, err := w.engine.Execute(t.Context(), c)
			if k := fault.From(err); err != nil && k.Kind == fault.Internal {
				t.Fatalf("%q to %s: %v", body, c.Target, k.Cause)
			}
		}
	})
}
