package site_test

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/sdk"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/transport/site"
)

// shop opens a site over a folder with a secret beside it.
func shop(t *testing.T) *site.Site {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "public")
	for name, text := range map[string]string{
		"secret.txt": "keep out", "public/index.html": "<h1>shop</h1>",
		"public/app.js":  "export {}",
		"public/big.css": strings.Repeat("a { color: red }\n", 200), "public/.env": "KEY=1",
		"public/.git/config": "x", "public/docs/index.html": "<h1>docs</h1>",
		"public/empty/x.txt": "x",
		"public/blob.bin":    "\x00\x01", "public/logo.SVG": "<svg/>",
	} {
		p := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(top, "secret.txt"), filepath.Join(dir,
		"out.txt")); err != nil {
		t.Fatal(err)
	}
	files, root, err := site.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	words := transport.NewWords(&spec.Spec{Errors: []*spec.Refusal{
		{Code: "out_of_stock", Say: "Someone else <b>bought</b> the last one."}}})
	return site.New(site.Config{Files: func() fs.FS { return files },
		Words: func() *transport.Words { return words }})
}

// get asks for a path as it is sent; headers come in pairs.
func get(s *site.Site, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	if p, query, ok := strings.Cut(path, "?"); ok {
		path, r.URL.RawQuery = p, query
	}
	r.URL.Path = path
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	w.Header().Set("Request-Id", "r1")
	s.ServeHTTP(w, r)
	return w
}

func TestFilesAreServedWithTheirTypes(t *testing.T) {
	s := shop(t)
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/index.html": "text/html; charset=utf-8",
		"/app.js": "text/javascript; charset=utf-8", "/big.css": "text/css; charset=utf-8",
		"/docs/": "text/html; charset=utf-8", "/blob.bin": "application/octet-stream",
		"/logo.SVG": "image/svg+xml",
	} {
		w := get(s, "GET", path)
		if w.Code != 200 || w.Header().Get("Content-Type") != kind {
			t.Errorf("%s is %d %s, want %s", path, w.Code, w.Header().Get("Content-Type"), kind)
		}
		if h := w.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Etag") == "" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s has the headers %v", path, h)
		}
		if again := get(s, "GET", path, "If-None-Match",
			w.Header().Get("Etag")); again.Code != 304 {
			t.Errorf("%s again is %d, want 304", path, again.Code)
		}
		if head := get(s, "HEAD", path); head.Code != 200 || head.Body.Len() > 0 {
			t.Errorf("HEAD %s is %d with %d bytes", path, head.Code, head.Body.Len())
		}
	}
	if w := get(s, "GET", "/docs"); w.Code != 308 || w.Header().Get("Location") != "/docs/" {
		t.Errorf("/docs is %d %s", w.Code, w.Header().Get("Location"))
	}
}

func TestNothingBesideTheFolderIsServed(t *testing.T) {
	s := shop(t)
	for _, path := range []string{"/../secret.txt", "/docs/../../secret.txt", "/./index.html",
		"//index.html",
		"/.env", "/.git/config", "/out.txt", "/..\\secret.txt", "/index.html\x00", "/index.html/",
		"/empty/", "/empty",
		"/docs//index.html", "/C:/windows", "/missing.txt", "relative", "/%2e%2e/secret.txt"} {
		w := get(s, "GET", path)
		if path == "/empty" && w.Code == 308 {
			continue // it leads to a folder without a page, which is missing
		}
		if w.Code != 404 || strings.Contains(w.Body.String(), "keep out") ||
			strings.Contains(w.Body.String(), "KEY") {
			t.Errorf("%q is %d %s", path, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") != "application/problem+json" ||
			!strings.Contains(w.Body.String(), `"request":"r1"`) {
			t.Errorf("%q is %s", path, w.Body)
		}
	}
}

func TestNavigationsFallBackToTheStartPage(t *testing.T) {
	s := shop(t)
	if w := get(s, "GET", "/orders/7", "Accept", "text/html,*/*"); w.Code != 200 ||
		w.Body.String() != "<h1>shop</h1>" {
		t.Errorf("a navigation is %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/orders/7.js", "/.env", "/../x"} {
		w := get(s, "GET", path, "Accept", "text/html")
		if w.Code != 404 || !strings.Contains(w.Body.String(), "<!doctype html>") {
			t.Errorf("%s is %d %s", path, w.Code, w.Body)
		}
	}
	if w := get(s, "GET", "/orders/7", "Accept", "*/*"); w.Code != 404 {
		t.Errorf("a script that asks for a page is %d, want 404", w.Code)
	}
}

func TestOnlyReadingIsTaken(t *testing.T) {
	s := shop(t)
	for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE"} {
		if w := get(s, m, "/"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s is %d", m, w.Code)
		}
	}
}

func TestTextIsCompressed(t *testing.T) {
	s := shop(t)
	plain, zipped := get(s, "GET", "/big.css"), get(s, "GET", "/big.css", "Accept-Encoding", "gzip")
	if zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Body.Len() >= plain.Body.Len() ||
		zipped.Header().Get("Etag") == plain.Header().Get("Etag") ||
		zipped.Header().Get("Vary") == "" {
		t.Errorf("zipped: %v, %d bytes of %d", zipped.Header(), zipped.Body.Len(), plain.Body.Len())
	}
	part := get(s, "GET", "/big.css", "Accept-Encoding", "gzip", "Range", "bytes=0-3")
	if body, _ := io.ReadAll(part.Body); part.Code != 206 || string(body) != "a { " {
		t.Errorf("a part is %d %q", part.Code, body)
	}
}

func TestEveryProblemHasAPage(t *testing.T) {
	s := shop(t)
	for _, w := range transport.NewWords(nil).All() {
		page := get(s, "GET", "/problems/"+w.Code)
		if page.Code != 200 || !strings.Contains(page.Body.String(), w.Code) ||
			!strings.Contains(page.Body.String(), "What to do") {
			t.Errorf("the page of %s is %d", w.Code, page.Code)
		}
	}
	page := get(s, "GET", "/problems/out_of_stock").Body.String()
	if !strings.Contains(page, "Someone else &lt;b&gt;bought") || !strings.Contains(page,
		"HTTP 409") {
		t.Errorf("the page of a refusal is %s", page)
	}
	if all := get(s, "GET", "/problems/").Body.String(); !strings.Contains(all, "out_of_stock") ||
		!strings.Contains(all, "invalid_filter") {
		t.Errorf("the list is %s", all)
	}
	if w := get(s, "GET", "/problems/<script>"); w.Code != 404 || strings.Contains(w.Body.String(),
		"<script>") {
		t.Errorf("an unknown problem is %d %s", w.Code, w.Body)
	}
}

// TestClientIsServed checks that /galley.js and its types are there for every app, whether it
// has files or not, that who has them is not sent them again, and that no file takes their place.
func TestClientIsServed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "galley.js"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	own, root, err := site.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	for name, s := range map[string]*site.Site{"no files": site.New(site.Config{}),
		"a file of that name": site.New(site.Config{Files: func() fs.FS { return own }})} {
		for path, want := range map[string][2]string{
			"/galley.js":   {"text/javascript; charset=utf-8", string(sdk.Script())},
			"/galley.d.ts": {"text/plain; charset=utf-8", string(sdk.Types())},
		} {
			w := get(s, "GET", path)
			if w.Code != 200 || w.Body.String() != want[1] || w.Header().Get("Content-Type") != want[0] {
				t.Errorf("%s, %s: %d, %v, %d bytes", name, path, w.Code, w.Header(), w.Body.Len())
			}
			zipped := get(s, "GET", path, "Accept-Encoding", "gzip")
			r, err := gzip.NewReader(zipped.Body)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(r); err != nil || string(text) != want[1] {
				t.Errorf("%s, %s: compressed it is another: %v", name, path, err)
			}
			if a, b := w.Header().Get("Etag"), zipped.Header().Get("Etag"); a == "" || a == b {
				t.Errorf("%s, %s: the tags are %s and %s", name, path, a, b)
			}
			for _, h := range []http.Header{w.Header(), zipped.Header()} {
				again := get(s, "GET", path, "Accept-Encoding", h.Get("Content-Encoding"), "If-None-Match",
					h.Get("Etag"))
				if again.Code != 304 || again.Body.Len() > 0 {
					t.Errorf("%s, %s: %d for who has it", name, path, again.Code)
				}
			}
			if w := get(s, "HEAD", path); w.Code != 200 || w.Body.Len() > 0 {
				t.Errorf("%s, %s: HEAD is %d with %d bytes", name, path, w.Code, w.Body.Len())
			}
			if w := get(s, "POST", path); w.Code != 405 {
				t.Errorf("%s, %s: POST is %d", name, path, w.Code)
			}
		}
	}
}
