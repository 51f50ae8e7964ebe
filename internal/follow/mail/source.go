package mail

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/letter"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// source fills a letter's template and returns its subject and the whole message.
func (m *Mails) source(ctx context.Context, w work) (string, []byte, error) {
	data, err := m.data(ctx, w)
	if err != nil {
		return "", nil, err
	}
	l, err := w.email.Template.Fill(data)
	if err != nil {
		return "", nil, err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingQP),
		gomail.WithBoundary(string(w.id)))
	name := m.cfg.From.Name
	if name == "" {
		name = w.app.Spec.App
	}
	if err := msg.FromFormat(oneLine(name), m.cfg.From.Address); err != nil {
		return "", nil, err
	}
	if err := msg.To(w.reader.address); err != nil {
		return "", nil, err
	}
	msg.Subject(l.Subject)
	msg.SetDateWithValue(w.row.Get("created").Time())
	msg.SetMessageIDWithValue(m.messageID(w.id))
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if w.email.Marketing() {
		msg.SetListUnsubscribe(data.Unsubscribe)
		msg.SetListUnsubscribePost()
		msg.SetGenHeader("List-Id", "<"+w.email.Name+"."+m.domain()+">")
	}
	msg.SetBodyString(gomail.TypeTextPlain, l.Plain)
	msg.AddAlternativeString(gomail.TypeTextHTML, l.HTML)
	var out bytes.Buffer
	if _, err := msg.WriteTo(&out); err != nil {
		return "", nil, err
	}
	return l.Subject, out.Bytes(), nil
}

// data reads what a letter's template sees.
func (m *Mails) data(ctx context.Context, w work) (letter.Data, error) {
	url := m.cfg.URL()
	d := letter.Data{App: w.app.Spec.App, URL: url, Unsubscribe: url + m.unsubscribePath(w.person),
		Record: letter.Nothing(nil), User: letter.Nothing(nil), Data: letter.Fields{}}
	if w.email.Spec.UntilClick {
		d.Track = func(target string) string { return url + m.clickPath(w.person, w.id, target) }
	}
	if text := w.row.Get(fieldData).Text(); text != "" {
		d.Data = letter.Decode([]byte(text))
	}
	if !w.user.Zero() {
		user, err := letter.FieldsOf(w.user, nil)
		if err != nil {
			return d, err
		}
		d.User = user
	}
	text, table := w.row.Get(fieldRecord).Text(), w.app.Schema.Table(w.row.Get(fieldOf).Text())
	switch {
	case text == "":
		return d, nil
	case table == nil:
		d.Record = letter.Decode([]byte(text))
		return d, nil
	}
	record, err := value.DecodeStored(table.Shape, []byte(text))
	if err != nil {
		return d, err
	}
	err = m.cfg.Store.Read(ctx, func(v store.View) error {
		related := func(of, id string) (value.Record, error) {
			return lenient(v.Get(ctx, of, ident.Record(id)))
		}
		fields, err := letter.FieldsOf(fit(record, table.Shape), related)
		d.Record = fields
		return err
	})
	return d, err
}

// messageID is the same at each try, so that a mail that comes twice is known.
func (m *Mails) messageID(id ident.Record) string { return fmt.Sprintf("%s@%s", id, m.domain()) }

// domain is that of who writes.
func (m *Mails) domain() string {
	_, domain, _ := strings.Cut(m.cfg.From.Address, "@")
	if domain == "" {
		return "localhost"
	}
	return domain
}

// oneLine keeps a name within its header.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
