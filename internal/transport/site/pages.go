package site

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"github.com/galleybackend/galley/internal/transport"
)

//go:embed problem.html
var problemPage string

//go:embed problem.css
var problemStyle string

// pages are the pages of problems.
type pages struct {
	page   *template.Template
	policy string
}

// page is what a page of a problem shows: one problem, or all.
type page struct {
	Style template.CSS
	Word  *transport.Word
	Words []transport.Word
	// Missing reports that the page stands where nothing is.
	Missing bool
}

func newPages() *pages {
	sum := sha256.Sum256([]byte(problemStyle))
	return &pages{
		page: template.Must(template.New("problem").Parse(problemPage)),
		policy: "default-src 'none'; style-src 'sha256-" +
			base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; frame-ancestors 'none'",
	}
}

// serve shows the page of a code, or of all codes for "".
func (p *pages) serve(w http.ResponseWriter, words *transport.Words, code string) {
	if code == "" {
		p.show(w, http.StatusOK, page{Words: words.All()})
		return
	}
	word, ok := words.Find(code)
	if !ok {
		p.missing(w, words)
		return
	}
	if word.Status == 0 {
		word.Status = http.StatusConflict // a refusal that names no status of its own
	}
	p.show(w, http.StatusOK, page{Word: &word})
}

func (p *pages) missing(w http.ResponseWriter, words *transport.Words) {
	word, _ := words.Find("not_found")
	p.show(w, http.StatusNotFound, page{Word: &word, Missing: true})
}

func (p *pages) show(w http.ResponseWriter, status int, data page) {
	data.Style = template.CSS(problemStyle)
	var b bytes.Buffer
	if err := p.page.Execute(&b, data); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError),
			http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the peer is gone: there is nobody to tell
}
