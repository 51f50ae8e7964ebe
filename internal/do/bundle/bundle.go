// Package bundle builds the client that pages load, and the package of hooks for React,
// out of their sources. What is built is committed, so that nobody needs this to build
// Galley; the test of package sdk finds a build that is not that of its sources.
package bundle

import (
	"fmt"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// head stands above what is built.
const head = "// Built from src by go generate.\n"

// inner are the names of properties that only the client's own modules use: nothing of the
// wire, of what is kept in browsers, or of what pages call. They are made short.
const inner = "^(isOpen|isDown|once|opened|closed|pushed|readers|faces|sending|sent|known|tokens|" +
	"only|changed|shown|landed|heard|redraw|check|layers|saving|server|stop|order|know|see|keep|" +
	"take|forget|still)$"

// Build returns what the sources below the folder of package sdk build, by its path there.
func Build(dir string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for to, from := range map[string]string{
		"client/galley.js": "client/src/galley.ts",
		"react/react.js":   "react/src/react.ts",
	} {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		r := api.Build(api.BuildOptions{
			EntryPoints: []string{filepath.Join(dir, filepath.FromSlash(from))},
			Bundle:      true, Format: api.FormatESModule, Target: api.ES2022,
			MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
			External: []string{"react", "@galley/client"}, Banner: map[string]string{"js": head},
			MangleProps: inner, Platform: api.PlatformBrowser, AbsWorkingDir: dir, Charset: api.CharsetUTF8,
			LegalComments: api.LegalCommentsNone,
			TsconfigRaw:   `{"compilerOptions": {"strict": true, "target": "ES2022"}}`,
		})
		if len(r.Errors) > 0 {
			e := r.Errors[0]
			if e.Location != nil {
				return nil, fmt.Errorf("%s:%d: %s", e.Location.File, e.Location.Line, e.Text)
			}
			return nil, fmt.Errorf("%s: %s", from, e.Text)
		}
		out[to] = r.OutputFiles[0].Contents
	}
	return out, nil
}
