package main

import (
	"path/filepath"
	"testing"

	"github.com/galleybackend/galley/internal/do/retail"
	"github.com/galleybackend/galley/internal/do/server"
)

// The whole file is `make replay`; this is its beginning, on a server of its own.
func TestReplayOfTheFirstInvoicesAgreesWithTheFile(t *testing.T) {
	root, dir := filepath.Join("..", ".."), t.TempDir()
	shop := &server.Server{
		Galley: filepath.Join(dir, "galley"), App: filepath.Join(root, "examples", "shop"),
		Data: filepath.Join(dir, "data"),
	}
	if err := server.Build(t.Context(), root, shop.Galley); err != nil {
		t.Fatal(err)
	}
	lines, err := readInvoices(shop.App)
	if err != nil {
		t.Fatal(err)
	}
	if err := replay(t.Context(), shop, dir, retail.Collect(lines, 25)); err != nil {
		t.Error(err)
	}
}
