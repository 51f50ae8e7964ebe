// Package mailbox is the door of mails: the links that stand in them, for everybody who
// got one, and the pages on which a developer reads what was sent. A link needs no
// session: its signature says whose it is and where it leads. The pages are for who is
// let in by whoever mounts them.
package mailbox

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/ident"
)

// Mails is what the pages are about, as mail.Mails is.
type Mails interface {
	Click(ctx context.Context, rest, target string) (string, error)
	Known(ctx context.Context, rest string) (bool, error)
	Unsubscribe(ctx context.Context, rest string, back bool) error
	List(ctx context.Context, f mail.Filter) ([]mail.Letter, error)
	Get(ctx context.Context, id ident.Record) (mail.Letter, error)
	Campaigns(ctx context.Context) ([]mail.Campaign, error)
	Suppressed(ctx context.Context) ([]mail.Person, error)
	Down() string
}

// Path is where the pages for developers are.
const Path = "/_/emails"

// bodyMax bounds what a form of these pages sends, in bytes.
const bodyMax = 4 << 10

// listed is how many letters a page shows.
const listed = 200

//go:embed pages.html
var pagesText string

//go:embed pages.css
var pagesStyle string

// Config is what a Door is made of.
type Config struct {
	Mails Mails
	// App returns the app's name.
	App func() string
	// Open shows the pages for developers.
	Open bool
	// Next serves all other paths.
	Next http.Handler
}

// Door serves the links and the pages. It is safe for concurrent use.
type Door struct {
	Config
	pages  *template.Template
	policy string
}

// New returns a door.
func New(c Config) *Door {
	sum := sha256.Sum256([]byte(pagesStyle))
	style := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	return &Door{Config: c, policy: "default-src 'none'; style-src " + style +
		"; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		pages: template.Must(template.New("pages").Funcs(template.FuncMap{
			"style": func() template.CSS { return template.CSS(pagesStyle) },
			"at":    func(t time.Time) string { return t.Local().Format("2 Jan 15:04:05") },
		}).Parse(pagesText))}
}

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, mail.PathClick):
		d.click(w, r, strings.TrimPrefix(path, mail.PathClick))
	case strings.HasPrefix(path, mail.PathUnsubscribe):
		d.unsubscribe(w, r, strings.TrimPrefix(path, mail.PathUnsubscribe))
	case d.Open && (path == Path || path == Path+"/"):
		d.list(w, r)
	case d.Open && strings.HasPrefix(path, Path+"/"):
		d.letter(w, r, strings.TrimPrefix(path, Path+"/"))
	default:
		d.Next.ServeHTTP(w, r)
	}
}

// head sets what all answers have.
func (d *Door) head(w http.ResponseWriter) http.Header {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
	return h
}

// allow answers other methods than these, and reports whether it is one of them.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	w.WriteHeader(http.StatusMethodNotAllowed)
	return false
}

// view is what a page shows.
type view struct {
	App   string
	Title string
	// Done and Link are for the pages of readers: what holds now, and where to go on.
	Done bool
	Link string

	Letters    []mail.Letter
	Filter     mail.Filter
	States     []string
	Campaigns  []campaign
	Suppressed []mail.Person
	Down       string

	Letter mail.Letter
	View   string
	Narrow bool
}

// campaign is a sending with how far it has come.
type campaign struct {
	mail.Campaign
	Ended int64
}

func (d *Door) show(w http.ResponseWriter, status int, page string, v view) {
	h := d.head(w)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", d.policy)
	v.App = d.App()
	var b strings.Builder
	if err := d.pages.ExecuteTemplate(&b, page, v); err != nil {
		panic(err) // the pages are ours, and tested
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String())) // the reader is gone: there is nobody to tell
}

// fail shows a reader that something is wrong.
func (d *Door) fail(w http.ResponseWriter, err error, link string) {
	f := fault.From(err)
	if f.Kind == fault.NotFound {
		d.show(w, http.StatusNotFound, "wrong", view{Title: f.Message})
		return
	}
	w.Header().Set("Retry-After", "5")
	d.show(w, http.StatusServiceUnavailable, "wrong",
		view{Title: "This cannot be done now. Please try again in a moment.", Link: link})
}

// click sends a reader to where a link of his mail leads. A look at the head is no click.
func (d *Door) click(w http.ResponseWriter, r *http.Request, rest string) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	target := r.URL.Query().Get("to")
	if r.Method == http.MethodHead {
		d.head(w)
		return
	}
	to, err := d.Mails.Click(r.Context(), rest, target)
	if err != nil {
		d.fail(w, err, to)
		return
	}
	d.head(w).Set("Location", to)
	w.WriteHeader(http.StatusFound)
}

// unsubscribe shows a page with a button, and does what the button says: also for the
// one click of RFC 8058, which a mail program makes without showing a page.
func (d *Door) unsubscribe(w http.ResponseWriter, r *http.Request, rest string) {
	if !allow(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return
	}
	if r.Method != http.MethodPost {
		done, err := d.Mails.Known(r.Context(), rest)
		if err != nil {
			d.fail(w, err, "")
			return
		}
		d.show(w, http.StatusOK, "unsubscribe", view{Title: "Unsubscribe", Done: done})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
	back := r.PostFormValue("back") == "yes"
	if err := d.Mails.Unsubscribe(r.Context(), rest, back); err != nil {
		d.fail(w, err, "")
		return
	}
	d.show(w, http.StatusOK, "unsubscribe", view{Title: "Unsubscribe", Done: !back})
}

// list shows what was sent.
func (d *Door) list(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	q := r.URL.Query()
	v := view{Title: "Emails", Down: d.Mails.Down(),
		States: []string{mail.Waiting, mail.Sent, mail.Held, mail.Bounced, mail.Unknown, mail.Parked},
		Filter: mail.Filter{Email: q.Get("email"), State: q.Get("state"), To: q.Get("to"),
			Campaign: q.Get("campaign"), Limit: listed}}
	var err error
	if v.Letters, err = d.Mails.List(r.Context(), v.Filter); err == nil {
		v.Suppressed, err = d.Mails.Suppressed(r.Context())
	}
	var campaigns []mail.Campaign
	if err == nil {
		campaigns, err = d.Mails.Campaigns(r.Context())
	}
	if err != nil {
		d.fail(w, err, "")
		return
	}
	for _, c := range campaigns {
		open := c.Letters[mail.Waiting] + c.Letters[mail.Claimed] + c.Letters[mail.Sending]
		v.Campaigns = append(v.Campaigns, campaign{c, c.Made - open})
	}
	d.show(w, http.StatusOK, "list", v)
}

// letter shows one letter: its page in a frame of its own, its text, or its source.
func (d *Door) letter(w http.ResponseWriter, r *http.Request, rest string) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	id, part, _ := strings.Cut(rest, "/")
	l, err := d.Mails.Get(r.Context(), ident.Record(id))
	switch {
	case err != nil:
		d.fail(w, err, "")
	case part == "page":
		h := d.head(w)
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", framePolicy)
		// Links of the mail open beside the mailbox, and not within its frame.
		_, _ = w.Write([]byte(`<base target="_blank">` + l.HTML)) // the reader is gone: nobody to tell
	case part != "":
		d.Next.ServeHTTP(w, r)
	default:
		q := r.URL.Query()
		d.show(w, http.StatusOK, "letter", view{Title: l.Subject, Letter: l, View: q.Get("view"),
			Narrow: q.Get("width") == "phone"})
	}
}

// framePolicy keeps a mail from everything but its pictures and its own style: it runs
// no code, and belongs to no origin.
const framePolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; " +
	"img-src https: http: data:; style-src 'unsafe-inline'; font-src https: data:; " +
	"frame-ancestors 'self'"

// Query returns the address of a list.
func (v view) Query(name, value string) string {
	return Path + "?" + url.Values{name: {value}}.Encode()
}
