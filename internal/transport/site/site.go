// Package site is the door for people: the app's static files, a page for each problem,
// and the client that pages load. It serves files of one folder and nothing beside it: no dotfile, no
// listing, no link that leads out. What is below /api is rest's.
package site

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/transport"
)

// Bounds of compression, in bytes: below the least it costs more than it saves,
// above the greatest it would hold too much in memory.
const (
	zipMin = 1 << 10
	zipMax = 4 << 20
)

// Config is what a Site serves.
type Config struct {
	// Files returns the app's folder; nil, or a nil folder, has no files. It is asked
	// at each request, so that a reload needs no word to the site.
	Files func() fs.FS
	// Words returns the codes that have a page.
	Words func() *transport.Words
}

// Site serves an app's pages. It is safe for concurrent use.
type Site struct {
	files  func() fs.FS
	words  func() *transport.Words
	pages  *pages
	client client
}

// New returns a site.
func New(c Config) *Site {
	s := &Site{files: c.Files, words: c.Words, pages: newPages(), client: newClient()}
	if s.files == nil {
		s.files = func() fs.FS { return nil }
	}
	if s.words == nil {
		none := transport.NewWords(nil)
		s.words = func() *transport.Words { return none }
	}
	return s
}

// Open returns the folder as files that cannot lead out of it, not even by a link.
// The caller closes it.
func Open(dir string) (fs.FS, io.Closer, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open the site's folder: %w", err)
	}
	return root.FS(), root, nil
}

// policy is what pages of the app may load: what comes from here.
const policy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; " +
	"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

// ServeHTTP answers with a file, with a problem's page, or with a problem.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-cache")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		s.problem(w, s.words().MethodProblem("It takes GET, HEAD, OPTIONS.", callOf(w)))
		return
	}
	if code, ok := strings.CutPrefix(r.URL.Path, "/problems"); ok &&
		(code == "" || code[0] == '/') {
		s.pages.serve(w, s.words(), strings.TrimPrefix(code, "/"))
		return
	}
	if a, ok := s.client[r.URL.Path]; ok {
		a.serve(w, r)
		return
	}
	s.file(w, r)
}

// callOf is the id that the door in front gave the request.
func callOf(w http.ResponseWriter) ident.Call {
	return ident.Call(w.Header().Get("Request-Id"))
}

// file answers with the file that the path names, with the index of its folder, or,
// for somebody who navigates to an address of the app's own making, with its page.
func (s *Site) file(w http.ResponseWriter, r *http.Request) {
	files := s.files()
	name, ok := fileName(r.URL.Path)
	if files == nil || !ok {
		s.missing(w, r)
		return
	}
	info, err := fs.Stat(files, name)
	switch {
	case err == nil && info.IsDir():
		if name != "." && !strings.HasSuffix(r.URL.Path, "/") {
			to := url.URL{Path: "/" + name + "/"}
			http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
			return
		}
		name = path.Join(name, "index.html")
		info, err = fs.Stat(files, name)
	case err == nil && strings.HasSuffix(r.URL.Path, "/"):
		err = fs.ErrNotExist
	}
	if err != nil && errors.Is(err, fs.ErrNotExist) && navigates(r) {
		name = "index.html"
		info, err = fs.Stat(files, name)
	}
	if err != nil || !info.Mode().IsRegular() {
		s.missing(w, r)
		return
	}
	s.content(w, r, files, name, info)
}

// fileName returns the name of the file at a path, in the one spelling that it has.
func fileName(p string) (string, bool) {
	name := strings.TrimSuffix(strings.TrimPrefix(p, "/"), "/")
	if p == "/" {
		return ".", true
	}
	if !strings.HasPrefix(p, "/") || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00:") {
		return "", false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part[0] == '.' {
			return "", false
		}
	}
	return name, true
}

// navigates reports whether a browser asks for a page, and not a page for a part.
func navigates(r *http.Request) bool {
	return path.Ext(r.URL.Path) == "" && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// types holds the content types of files. It is ours, so that it is the same on
// every machine.
var types = map[string]string{
	".avif": "image/avif", ".css": "text/css; charset=utf-8", ".csv": "text/csv; charset=utf-8",
	".gif": "image/gif", ".htm": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8",
	".ico": "image/x-icon", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".js": "text/javascript; charset=utf-8", ".json": "application/json",
	".map": "application/json", ".md": "text/markdown; charset=utf-8",
	".mjs": "text/javascript; charset=utf-8", ".mp3": "audio/mpeg", ".mp4": "video/mp4",
	".pdf": "application/pdf", ".png": "image/png", ".svg": "image/svg+xml",
	".ts": "text/plain; charset=utf-8", ".txt": "text/plain; charset=utf-8",
	".wasm": "application/wasm", ".webm": "video/webm",
	".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff",
	".woff2": "font/woff2", ".xml": "application/xml",
}

func typeOf(name string) string {
	if t, ok := types[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return "application/octet-stream"
}

// content sends a file.
func (s *Site) content(w http.ResponseWriter, r *http.Request, files fs.FS, name string,
	info fs.FileInfo) {
	file, err := files.Open(name)
	if err != nil {
		s.missing(w, r)
		return
	}
	defer func() { _ = file.Close() }() // it was only read
	body, ok := file.(io.ReadSeeker)
	if !ok {
		s.missing(w, r)
		return
	}
	h := w.Header()
	kind := typeOf(name)
	h.Set("Content-Type", kind)
	tag, err := stamp(info, body)
	if err != nil {
		s.problem(w, s.words().Problem(fmt.Errorf("read a file of the site: %w", err), callOf(w)))
		return
	}
	if zips(kind, info.Size()) {
		h.Set("Vary", "Accept-Encoding")
		if r.Header.Get("Range") == "" && transport.TakesGzip(r.Header["Accept-Encoding"]) {
			if zipped, err := zip(body); err == nil {
				body, tag = zipped, tag+"-gzip"
				h.Set("Content-Encoding", "gzip")
			}
		}
	}
	h.Set("Etag", `"`+tag+`"`)
	http.ServeContent(w, r, name, info.ModTime(), body)
}

// stamp is what changes when the file does: its time and size, or for files without
// a time, as those within a program are, their content.
func stamp(info fs.FileInfo, body io.ReadSeeker) (string, error) {
	if t := info.ModTime(); !t.IsZero() {
		return fmt.Sprintf("%x-%x", t.UnixNano(), info.Size()), nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return "", err
	}
	_, err := body.Seek(0, io.SeekStart)
	return hex.EncodeToString(sum.Sum(nil)[:12]), err
}

// zips reports whether a file of that type and size is worth compressing.
func zips(kind string, size int64) bool {
	if size < zipMin || size > zipMax {
		return false
	}
	return strings.HasPrefix(kind, "text/") || strings.Contains(kind, "json") ||
		strings.Contains(kind, "xml") || kind == "application/wasm"
}

func zip(body io.ReadSeeker) (io.ReadSeeker, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := io.Copy(z, body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return bytes.NewReader(out.Bytes()), nil
}

// missing says that there is nothing: to people with a page, to programs with a
// problem.
func (s *Site) missing(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.pages.missing(w, s.words())
		return
	}
	s.problem(w, s.words().Problem(
		fault.New(fault.NotFound, "There is nothing at this address."), callOf(w)))
}

func (s *Site) problem(w http.ResponseWriter, p transport.Problem) {
	h := w.Header()
	h.Set("Content-Type", transport.TypeProblem)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.Append(nil)) // the peer is gone: there is nobody to tell
}
