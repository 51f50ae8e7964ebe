// Package letter fills the templates of emails: a subject, a page in HTML and a text
// part for readers without one. It promises that nothing that a record holds can break
// out of its place, neither into the page nor into another header, and that what is
// wrong with a template is told at its place before anybody gets a mail. To whom a
// letter goes, and when, is left to others.
package letter

import (
	"bytes"
	"errors"
	"fmt"
	html "html/template"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	text "text/template"
	"time"
	"unicode"

	"github.com/galleybackend/galley/internal/spec"
)

// Bounds of a letter.
const (
	// SizeMax is the greatest size of each part, in bytes.
	SizeMax = 512 << 10
	// SubjectMax is the greatest length of a subject, in characters; what is longer is
	// cut.
	SubjectMax = 200
)

// Place says how money and times are written.
type Place struct {
	Currency string
	Zone     *time.Location
}

// PlaceOf returns the place of an app.
func PlaceOf(s *spec.Spec) Place {
	zone, err := time.LoadLocation(s.Timezone)
	if err != nil {
		zone = time.UTC // the reader of the app file told of it
	}
	return Place{s.Currency, zone}
}

// Data is what a template sees.
type Data struct {
	// Record is .record: the Fields of the record that caused the letter, or what the
	// code gave; nil for letters that nothing caused but the clock.
	Record any
	// User is .user: who gets the letter; nil where he is known by his address alone.
	User any
	// Data is .data: what the code gave beside the record.
	Data any
	// App is .app, the app's name; URL is .url, its public address without a slash at
	// the end; Unsubscribe is .unsubscribe, the page on which this person can.
	App, URL, Unsubscribe string
	// Track, unless it is nil, returns the address to be linked in the place of one on
	// the web.
	Track func(target string) string
}

// Letter is a filled template.
type Letter struct {
	// Subject is one line without control characters.
	Subject string
	HTML    string
	Plain   string
}

// Template is the compiled templates of an email. It is immutable and safe for
// concurrent use.
type Template struct {
	email   *spec.Email
	place   Place
	subject *text.Template
	page    *html.Template
	plain   *text.Template
	// bound holds the templates with the functions for one public address.
	bound atomic.Pointer[bound]
}

// bound are the templates as they are executed.
type bound struct {
	url     string
	subject *text.Template
	page    *html.Template
	plain   *text.Template
}

// subjectKey begins the first line of a template.
const subjectKey = "Subject:"

// Parse compiles the templates of an email. It is nil if a finding is an error.
func Parse(e *spec.Email, place Place) (*Template, []spec.Finding) {
	t := &Template{email: e, place: place}
	source := strings.ReplaceAll(strings.TrimPrefix(e.HTML.Source, "\ufeff"), "\r\n", "\n")
	first, rest, _ := strings.Cut(source, "\n")
	subject, ok := strings.CutPrefix(first, subjectKey)
	if !ok || strings.TrimSpace(subject) == "" {
		return nil, []spec.Finding{{Pos: spec.Pos{File: e.HTML.File, Line: 1, Column: 1},
			Message: "the first line is no subject", Help: "write Subject: and what the mail is about"}}
	}
	var findings []spec.Finding
	var err error
	tell := func(of spec.Template, err error) {
		findings = append(findings, t.finding(of, err))
	}
	// Blanks in the place of the key, and an empty first line in the page, keep the
	// places of errors right.
	if t.subject, err = t.text(e.HTML.File, strings.Repeat(" ", len(subjectKey))+subject); err != nil {
		tell(e.HTML, err)
	}
	t.page, err = html.New(e.HTML.File).Option("missingkey=error").
		Funcs(t.functions("")).Parse("\n" + rest)
	if err != nil {
		tell(e.HTML, err)
	}
	if e.Plain.Source != "" {
		plain := strings.ReplaceAll(e.Plain.Source, "\r\n", "\n")
		if t.plain, err = t.text(e.Plain.File, plain); err != nil {
			tell(e.Plain, err)
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	return t, nil
}

func (t *Template) text(name, source string) (*text.Template, error) {
	return text.New(name).Option("missingkey=error").Funcs(t.functions("")).Parse(source)
}

// at returns the templates for a public address.
func (t *Template) at(url string) (*bound, error) {
	if b := t.bound.Load(); b != nil && b.url == url {
		return b, nil
	}
	b := &bound{url: url}
	fs := t.functions(url)
	page, err := t.page.Clone()
	if err != nil {
		return nil, err
	}
	b.page = page.Funcs(fs)
	subject, err := t.subject.Clone()
	if err != nil {
		return nil, err
	}
	b.subject = subject.Funcs(fs)
	if t.plain != nil {
		plain, err := t.plain.Clone()
		if err != nil {
			return nil, err
		}
		b.plain = plain.Funcs(fs)
	}
	t.bound.Store(b)
	return b, nil
}

// Fill fills the templates. An error is one of the template with this data, and the
// same at each try.
func (t *Template) Fill(d Data) (Letter, error) {
	b, err := t.at(d.URL)
	if err != nil {
		return Letter{}, err
	}
	data := map[string]any{"record": d.Record, "user": d.User, "data": d.Data, "app": d.App,
		"url": d.URL, "unsubscribe": d.Unsubscribe}
	var out Letter
	for _, part := range []struct {
		to      *string
		execute func(io.Writer) error
	}{
		{&out.Subject, func(w io.Writer) error { return b.subject.Execute(w, data) }},
		{&out.HTML, func(w io.Writer) error { return b.page.Execute(w, data) }},
		{&out.Plain, func(w io.Writer) error {
			if b.plain == nil {
				return nil
			}
			return b.plain.Execute(w, data)
		}},
	} {
		room := &bounded{}
		if err := part.execute(room); err != nil {
			return Letter{}, err
		}
		*part.to = room.String()
	}
	out.Subject = line(out.Subject, SubjectMax)
	out.HTML = strings.TrimLeft(out.HTML, "\n")
	track := d.Track
	if track != nil {
		track = func(target string) string {
			if target == d.Unsubscribe {
				return target
			}
			return d.Track(target)
		}
		out.HTML = relink(out.HTML, track)
	}
	if b.plain == nil {
		out.Plain = Plain(out.HTML)
	} else if track != nil {
		out.Plain = webAddress.ReplaceAllStringFunc(out.Plain, func(found string) string {
			target := strings.TrimRight(found, ".,;:!?") // they end the sentence
			return track(target) + found[len(target):]
		})
	}
	return out, nil
}

// bounded refuses more than a letter may hold.
type bounded struct{ bytes.Buffer }

var errSize = fmt.Errorf("a part of a mail has at most %d KB", SizeMax>>10)

// Write adds to the part.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > SizeMax {
		return 0, errSize
	}
	return b.Buffer.Write(p)
}

// line makes one line of a text: blanks for what ends a line, nothing for what no
// person can read.
func line(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c) || c == '\u2028' || c == '\u2029':
			return ' '
		case unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c):
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > most {
		s = strings.TrimSpace(string(runes[:most-1])) + "…"
	}
	return s
}

// Sample is what a template is tried with before the app runs.
type Sample struct {
	Data
	// Names says what the record and the user are made of, for the help in findings.
	Names map[string][]string
	// Loose marks a record that the app's code gives, of which nothing is known.
	Loose bool
}

// Check fills the templates with samples and returns what went wrong, each place once.
func (t *Template) Check(samples ...Sample) []spec.Finding {
	var findings []spec.Finding
	for _, s := range samples {
		_, err := t.Fill(s.Data)
		if err == nil {
			continue
		}
		of := t.email.HTML
		if strings.Contains(err.Error(), t.email.Plain.File+":") && t.plain != nil {
			of = t.email.Plain
		}
		f := t.finding(of, err)
		if s.Loose && looseError.MatchString(err.Error()) {
			continue
		}
		f = t.explain(f, err, s.Names)
		same := false
		for _, g := range findings {
			same = same || g.Pos == f.Pos
		}
		if !same {
			findings = append(findings, f)
		}
	}
	return findings
}

// functions are what templates can call.
func (t *Template) functions(url string) map[string]any {
	return maps.Clone(map[string]any{
		"money": t.place.money, "date": t.place.date,
		"link": func(path string) (string, error) { return link(url, path) },
	})
}

var errLink = errors.New("link needs a path that begins with /, or an address on the web")

// link returns a path of the app as an address for people who are elsewhere.
func link(url, path string) (string, error) {
	switch {
	case strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//"):
		return url + path, nil
	case strings.HasPrefix(path, "https://"), strings.HasPrefix(path, "http://"):
		return path, nil
	}
	return "", errLink
}

// Unsubscribes reports whether the page or the text has a link to unsubscribe.
func (t *Template) Unsubscribes() bool {
	return strings.Contains(t.email.HTML.Source+t.email.Plain.Source, ".unsubscribe")
}

// Zone is the app's time zone.
func (t *Template) Zone() *time.Location { return t.place.Zone }
