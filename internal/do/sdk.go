package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/galleybackend/galley/internal/do/bundle"
)

// runSDK builds the client of TypeScript and its hooks, and prints their sizes.
func runSDK(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("sdk", flag.ContinueOnError)
	dir := flags.String("dir", "internal/sdk", "the folder of package sdk")
	if err := flags.Parse(args); err != nil {
		return err
	}
	built, err := bundle.Build(*dir)
	if err != nil {
		return err
	}
	for name, text := range built {
		if err := os.WriteFile(filepath.Join(*dir, name), text, 0o644); err != nil {
			return err
		}
		var zipped bytes.Buffer
		w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		fmt.Printf("%s: %d bytes, %d compressed\n", name, len(text), zipped.Len())
	}
	return nil
}
