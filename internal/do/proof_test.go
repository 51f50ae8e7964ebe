package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/do/retail"
)

// smallWorld has two customers; Ann's first invoice takes the same article twice.
func smallWorld(t *testing.T) *world {
	t.Helper()
	lines, err := retail.Read(strings.NewReader(
		`InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,10002,GLOBE,2,12/1/10 8:26,0.85,ann,France
1,10002,GLOBE,3,12/1/10 8:26,0.85,ann,France
2,10002,GLOBE,1,12/1/10 8:26,0.85,bob,France
`))
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(retail.Collect(lines, 0))
}

// smallJournal is what a shop writes that places both invoices.
func smallJournal(w *world) string {
	r := strings.NewReplacer("$ann", string(w.user["ann"]), "$bob", string(w.user["bob"]),
		"$globe", string(w.product["10002@85"]))
	return r.Replace(`
{"operation":"import","changes":[{"collection":"users","id":"$ann","after":{"wallet":425}}]}
{"operation":"import","changes":[{"collection":"users","id":"$bob","after":{"wallet":85}}]}
{"operation":"import","changes":[{"collection":"products","id":"$globe","after":{"stock":6}}]}
{"operation":"actions.checkout","subject":"users/$ann","key":"invoice-1","changes":[` +
		`{"collection":"products","id":"$globe","before":{"stock":6},"after":{"stock":1}},` +
		`{"collection":"users","id":"$ann","before":{"wallet":425},"after":{"wallet":0}},` +
		`{"collection":"orders","id":"o1","after":{"total":425}},` +
		`{"collection":"order_items","id":"i1","after":{"product":"$globe","quantity":2,"price":85}},` +
		`{"collection":"order_items","id":"i2","after":{"product":"$globe","quantity":3,"price":85}}]}
{"operation":"actions.checkout","subject":"users/$bob","key":"invoice-2","changes":[` +
		`{"collection":"products","id":"$globe","before":{"stock":1},"after":{"stock":0}},` +
		`{"collection":"users","id":"$bob","before":{"wallet":85},"after":{"wallet":0}},` +
		`{"collection":"orders","id":"o2","after":{"total":85}},` +
		`{"collection":"order_items","id":"i3","after":{"product":"$globe","quantity":1,"price":85}}]}
`)
}

func prove(t *testing.T, w *world, journal string) []string {
	t.Helper()
	var told []string
	f := &findings{tell: func(format string, args ...any) {
		told = append(told, fmt.Sprintf(format, args...))
	}}
	if err := w.proveByJournal([]byte(journal), f); err != nil {
		t.Fatal(err)
	}
	return told
}

func TestTheProofAgreesWithAJournalThatIsRight(t *testing.T) {
	w := smallWorld(t)
	if told := prove(t, w, smallJournal(w)); len(told) > 0 {
		t.Errorf("got differences: %q", told)
	}
}

func TestTheProofSeesEveryFlaw(t *testing.T) {
	w := smallWorld(t)
	right := smallJournal(w)
	entries := strings.SplitAfter(strings.TrimSpace(right), "\n")
	planted := func(old, now string) string { return strings.ReplaceAll(right, old, now) }
	bob := `"subject":"users/` + string(w.user["bob"])
	flaws := map[string]string{
		"an order placed twice":  right + entries[len(entries)-1],
		"an order left out":      strings.Join(entries[:len(entries)-1], ""),
		"a penny too much":       planted(`{"total":425}`, `{"total":426}`),
		"a wallet not charged":   planted(`"after":{"wallet":0}`, `"after":{"wallet":85}`),
		"stock not taken":        planted(`"after":{"stock":0}`, `"after":{"stock":1}`),
		"a lost change":          planted(`"before":{"stock":1}`, `"before":{"stock":2}`),
		"a line left out":        planted(`"id":"i2","after":{`, `"id":"i2","after":{"x":0},"y":{`),
		"another price":          planted(`"quantity":1,"price":85`, `"quantity":1,"price":84`),
		"another's order":        planted(bob, `"subject":"users/`+string(w.user["ann"])),
		"a key of nobody":        planted("invoice-2", "invoice-3"),
		"two orders under a key": planted("invoice-2", "invoice-1"),
	}
	for name, journal := range flaws {
		t.Run(name, func(t *testing.T) {
			if journal == right {
				t.Fatal("the flaw was not planted")
			}
			if told := prove(t, w, journal); len(told) == 0 {
				t.Error("the proof saw nothing")
			}
		})
	}
}
