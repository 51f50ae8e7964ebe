package appfile

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/spec"
)

// The bounds of emails.
const (
	emailMax = 200
	everyMin = time.Minute
	everyMax = 5 * 365 * 24 * time.Hour
)

// emailFolder holds the templates.
const emailFolder = "emails"

var emailKeys = keys{now: []string{"on", "if", "cron", "to", "every", "until"}}

// emails reads the kinds of mail.
func (r *reader) emails(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "emails") {
		if !r.named(e.key, "an email") {
			continue
		}
		if first := r.spec.Email(e.key.text); first != nil {
			r.tell(e.key, spec.Finding{Message: e.key.text + " is declared twice", See: first.Pos})
			continue
		}
		if len(r.spec.Emails) >= emailMax {
			r.fail(e.key, "", "an app has at most %d emails", emailMax)
			return
		}
		r.email(e)
	}
}

// email reads one of them.
func (r *reader) email(e entry) {
	m := &spec.Email{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key)}
	r.spec.Emails = append(r.spec.Emails, m)
	p := r.read(e.value, m.Name, emailKeys)
	if n := p["on"]; n != nil {
		m.On = r.trigger(n)
	}
	if n := p["cron"]; n != nil {
		m.Cron = r.cron(n)
		if p["on"] != nil {
			r.fail(n, "make two emails of it", "an email has on or cron, not both")
		}
	}
	if n := p["if"]; n != nil {
		m.If = r.cel(n, "if")
		if p["on"] == nil {
			r.fail(n, "remove it, or say on which change", "if narrows on, and there is no on")
		}
	}
	if n := p["to"]; n != nil {
		m.To = r.cel(n, "to")
	} else if p["on"] != nil || p["cron"] != nil {
		r.fail(e.key, "write to: record.customer, or a set of users", "%s says not to whom", m.Name)
	}
	if n := p["every"]; n != nil {
		m.Every = r.span(n, "every", everyMin, everyMax)
	}
	if n := p["until"]; n != nil {
		text, ok := r.plain(n, "until")
		if ok && text != "click" {
			r.unknown(n, []string{"click"}, "known is click", "unknown end %q of an email", text)
		}
		m.UntilClick = ok
	}
	m.HTML = r.template(m, ".html", e.key, true)
	m.Plain = r.template(m, ".txt", e.key, false)
}

// template reads a file of an email.
func (r *reader) template(m *spec.Email, ending string, at *node, needed bool) spec.Template {
	name := emailFolder + "/" + m.Name + ending
	text, err := r.src.read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && needed:
		r.fail(at, "write "+name+", with Subject: in its first line", "there is no template %s", name)
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		r.fail(at, err.Error(), "%s cannot be read", name)
	case len(text) > fileMax:
		r.fail(at, "", "%s has more than %d KB", name, fileMax>>10)
	default:
		f := newFile(name, text)
		if bad, ok := f.refuse(text); ok {
			r.findings = append(r.findings, bad)
		}
		r.spec.Files[name] = text
		return spec.Template{File: name, Source: string(text)}
	}
	return spec.Template{}
}

// strayTemplates tells of templates that no email has.
func (r *reader) strayTemplates() {
	if len(r.spec.Emails) == 0 {
		return
	}
	names, err := r.src.glob(emailFolder + "/*")
	if err != nil {
		return // the pattern is ours, and a folder that cannot be read was told of
	}
	for _, name := range names {
		base, ending, _ := strings.Cut(strings.TrimPrefix(name, emailFolder+"/"), ".")
		if ending != "html" && ending != "txt" || r.spec.Email(base) != nil {
			continue
		}
		var known []string
		for _, m := range r.spec.Emails {
			known = append(known, m.Name)
		}
		r.unknown(&node{kind: scalar, text: base, width: 1,
			pos: spec.Pos{File: name, Line: 1, Column: 1}}, known,
			"declare it under emails, or remove the file",
			"there is a template for the email %s, but the app file has no such email", base)
	}
}
