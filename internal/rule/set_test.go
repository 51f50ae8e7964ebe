package rule

import (
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

func TestASetBecomesAConditionOfItsRecords(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	for _, c := range []struct{ name, text, want string }{
		{"a whole collection", "users", "true"},
		{"a filter", "users.filter(u, u.verified)", ""},
		{"a filter of a filter", "users.filter(u, u.verified).filter(v, v.wallet > 5)", ""},
		{"beside a record", "users.filter(u, u == record.customer || u.boss == record.customer)", ""},
		{"a look into another", "users.filter(u, orders.exists(o, o.customer == u))", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := spec.Text{Source: c.text}
			if !w.IsSet(text) {
				t.Fatal("it does not read as a set")
			}
			s, findings := w.CompileSet(text, Scope{Name: "deals.to", Collection: "orders"})
			if s == nil || len(findings) > 0 {
				t.Fatal(findings)
			}
			if s.Collection() != "users" {
				t.Errorf("the set is of %s", s.Collection())
			}
			if got := query.Format(s.Condition().Expr); c.want != "" && got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestTheArgumentsOfASetComeFromTheRecord(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	set, findings := w.CompileSet(spec.Text{Source: "users.filter(u, u == record.customer)"},
		Scope{Collection: "orders"})
	if set == nil {
		t.Fatal(findings)
	}
	order := value.NewRecord(schema.Table("orders").Shape)
	order.Set("customer", value.OfText("01k8customer00000000000000"))
	args, err := set.Condition().Args(t.Context(), &Input{Record: order, Now: time.Now()})
	if err != nil || len(args) != 1 || args[0].Text() != "01k8customer00000000000000" {
		t.Errorf("the arguments are %v, %v", args, err)
	}
}

func TestWhatIsNoSet(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	for _, text := range []string{"record.customer", "users.exists(u, u.verified)", "users.size()", ""} {
		if w.IsSet(spec.Text{Source: text}) {
			t.Errorf("%q reads as a set", text)
		}
	}
	for text, want := range map[string]string{
		"users.filter(u, u.verifed)":      "verified",
		"users.filter(u, u.wallet)":       "",
		"users.filter(u, orders == null)": "",
		"record.customer":                 "no set of records",
	} {
		s, findings := w.CompileSet(spec.Text{Source: text}, Scope{Collection: "orders"})
		if s != nil || len(findings) == 0 ||
			!strings.Contains(findings[0].Message+findings[0].Help, want) {
			t.Errorf("%q has the findings %v, want one of %q", text, findings, want)
		}
	}
}
