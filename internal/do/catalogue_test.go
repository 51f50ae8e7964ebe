package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/galleybackend/galley/internal/do/retail"
	"github.com/galleybackend/galley/internal/ident"
)

func TestTheSeedIsTheOneThatTheFileGives(t *testing.T) {
	app := filepath.Join("..", "..", "examples", "shop")
	lines, err := readInvoices(app)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{
		"products":  jsonLines(seedProducts(retail.Catalogue(lines))),
		"users":     jsonLines(seedUsers()),
		"vouchers":  jsonLines(seedVouchers()),
		"discounts": jsonLines(seedDiscounts()),
	} {
		got, err := os.ReadFile(filepath.Join(app, "seed", name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("seed/%s.jsonl is not what the chore writes: run it again", name)
		}
	}
}

func TestSeedIDsAreRecordIDsAndDiffer(t *testing.T) {
	seen := map[ident.Record]string{}
	for _, name := range []string{"products/10002", "products/10120", "users/10002"} {
		collection, rest, _ := bytes.Cut([]byte(name), []byte("/"))
		id := seedID(string(collection), string(rest))
		if got, err := ident.ParseRecord(string(id)); err != nil || got != id {
			t.Errorf("%s: ParseRecord(%q) = %q, %v", name, id, got, err)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s share the id %s", name, other, id)
		}
		seen[id] = name
	}
}
