package retail

import (
	"cmp"
	"maps"
	"slices"
)

// A Product is what the shop sells under one stock code.
type Product struct {
	Code string
	Name string
	// Price is that of one piece, in pence.
	Price int64
	// Stock is how many pieces the shop begins with.
	Stock int64
}

// stockFactor is how many times the week's sales a shelf holds at the start.
const stockFactor = 10

// Catalogue returns the goods of the file in the order of their codes. A product's name and
// price are those that most of its sold lines carry; of names that are equally frequent it
// takes the first in the alphabet, of prices the lowest. The shelf holds ten times
// what the file sold, or the one last piece where it sold a single one. Goods that were
// never sold under a name are left out: nobody could say what they are or cost.
func Catalogue(lines []Line) []Product {
	type tally struct {
		names  map[string]int
		prices map[int64]int
		sold   int64
	}
	tallies := map[string]*tally{}
	for _, l := range lines {
		if !l.Goods() || !l.Sold() {
			continue
		}
		t := tallies[l.Code]
		if t == nil {
			t = &tally{names: map[string]int{}, prices: map[int64]int{}}
			tallies[l.Code] = t
		}
		t.prices[l.Price]++
		t.sold += l.Quantity
		if l.named() {
			t.names[l.Name]++
		}
	}
	var products []Product
	for _, code := range slices.Sorted(maps.Keys(tallies)) {
		t := tallies[code]
		if len(t.names) == 0 {
			continue
		}
		p := Product{Code: code, Name: usual(t.names), Price: usual(t.prices), Stock: 1}
		if t.sold > 1 {
			p.Stock = t.sold * stockFactor
		}
		products = append(products, p)
	}
	return products
}

// usual returns the key with the highest count, and of equals the least.
func usual[K cmp.Ordered](counts map[K]int) K {
	var best K
	most := 0
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if counts[k] > most {
			best, most = k, counts[k]
		}
	}
	return best
}
