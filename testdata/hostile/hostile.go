// Package hostile has the texts that others collected to break readers of JSON and of
// text: see the README beside it.
package hostile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"testing"
)

var (
	//go:embed jsontestsuite-test_parsing.tar.gz
	parsing []byte
	//go:embed blns.json
	blns []byte
)

// JSONTexts returns the 318 files of JSONTestSuite by their names.
func JSONTexts(t testing.TB) map[string]string {
	t.Helper()
	out, err := untar(parsing)
	if err != nil || len(out) != 318 {
		t.Fatalf("%d texts, want 318: %v", len(out), err)
	}
	return out
}

func untar(packed []byte) (map[string]string, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
		out[path.Base(h.Name)] = string(text)
	}
}

// Naughty returns the 515 strings of the Big List of Naughty Strings.
func Naughty(t testing.TB) []string {
	t.Helper()
	var out []string
	if err := json.Unmarshal(blns, &out); err != nil || len(out) != 515 {
		t.Fatalf("%d strings, want 515: %v", len(out), err)
	}
	return out
}
