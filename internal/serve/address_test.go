package serve

import (
	"strings"
	"testing"
)

// TestAPlaceIsKnownInAnySpelling compares addresses: who goes there, and by which words,
// makes no other place of it.
func TestAPlaceIsKnownInAnySpelling(t *testing.T) {
	const shop = "postgres://app:secret@db:5432/shop"
	for _, same := range []string{"postgresql://app@db/shop", "postgres://db/shop?sslmode=disable",
		"postgres://other:word@db/shop?schema=public"} {
		if !sameAddress(shop, same) {
			t.Errorf("%s is another place than %s", same, shop)
		}
	}
	for _, other := range []string{"postgres://app:secret@db:5433/shop", "postgres://app@db2/shop",
		"postgres://app:secret@db:5432/shops", "postgres://app:secret@db/shop?schema=two",
		"postgres://app:secret@db/shop?search_path=two", "sqlite:shop", "shop", ""} {
		if sameAddress(shop, other) || sameAddress(other, shop) {
			t.Errorf("%s is the place of %s", other, shop)
		}
	}
}

// TestAnAddressIsToldWithoutItsPassword has some that are wrong as well.
func TestAnAddressIsToldWithoutItsPassword(t *testing.T) {
	for _, address := range []string{"postgres://app:hush@db/shop", "app:hush@db/shop",
		"postgres://app:hu@hush@db/shop", "mysql://app:hush@db/shop", "postgres//app:hush@db/shop",
		"postgres://app:hush%zz@db/shop"} {
		if got := ShownAddress(address); strings.Contains(got, "hu") || !strings.Contains(got, "db/shop") {
			t.Errorf("%s is told as %s", address, got)
		}
	}
}
