package mail

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// The paths of links in mails.
const (
	PathClick       = "/mail/click/"
	PathUnsubscribe = "/mail/unsubscribe/"
)

// signature binds the parts of a link, so that only links of mails work.
func (m *Mails) signature(parts ...string) string {
	h := hmac.New(sha256.New, m.cfg.Key)
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

func (m *Mails) signed(given string, parts ...string) bool {
	return hmac.Equal([]byte(given), []byte(m.signature(parts...)))
}

func (m *Mails) unsubscribePath(person ident.Record) string {
	return PathUnsubscribe + string(person) + "/" + m.signature("unsubscribe", string(person))
}

func (m *Mails) clickPath(person, letter ident.Record, target string) string {
	return PathClick + string(person) + "/" + string(letter) + "/" +
		m.signature("click", string(person), string(letter), target) +
		"?to=" + url.QueryEscape(target)
}

var errLink = fault.New(fault.NotFound, "This link is not one of ours, or it is not whole.")

// Click notes that a reader followed a link of a mail, and returns where it leads: only
// to what stood in the mail. rest is the path behind PathClick.
func (m *Mails) Click(ctx context.Context, rest, target string) (string, error) {
	parts := strings.Split(rest, "/")
	if len(parts) != 3 || !m.open() || !m.signed(parts[2], "click", parts[0], parts[1], target) {
		return "", errLink
	}
	now := m.cfg.Now()
	return target, m.write(ctx, People, func(tx store.Tx) error {
		for collection, id := range map[string]string{People: parts[0], Letters: parts[1]} {
			row, err := lenient(tx.Get(ctx, collection, ident.Record(id)))
			if err != nil {
				return err
			}
			if row.Zero() || !row.Get(fieldClicked).IsNull() {
				continue
			}
			row.Set(fieldClicked, value.OfTime(now))
			if _, err := tx.Put(ctx, collection, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// Known reports whether a link to unsubscribe is one of ours, and whether its reader is
// unsubscribed already. rest is the path behind PathUnsubscribe.
func (m *Mails) Known(ctx context.Context, rest string) (unsubscribed bool, err error) {
	person, ok := m.unsubscriber(rest)
	if !ok {
		return false, errLink
	}
	err = m.cfg.Store.Read(ctx, func(v store.View) error {
		row, err := lenient(v.Get(ctx, People, person))
		unsubscribed = !row.Zero() && !row.Get(fieldUnsubscribed).IsNull()
		return err
	})
	return unsubscribed, err
}

func (m *Mails) unsubscriber(rest string) (ident.Record, bool) {
	person, signature, _ := strings.Cut(rest, "/")
	return ident.Record(person), m.open() && m.signed(signature, "unsubscribe", person)
}

// Unsubscribe ends the marketing to a reader, or with back lets it come again.
func (m *Mails) Unsubscribe(ctx context.Context, rest string, back bool) error {
	person, ok := m.unsubscriber(rest)
	if !ok {
		return errLink
	}
	to := value.OfTime(m.cfg.Now())
	if back {
		to = value.OfNull()
	}
	return m.write(ctx, People, func(tx store.Tx) error {
		row, err := lenient(tx.Get(ctx, People, person))
		if err != nil {
			return err
		}
		if row.Zero() {
			return errLink
		}
		rows := persons{row}
		// What is said of an account holds for its address, which may outlive it.
		who := ident.Record(row.Get(fieldWho).Text())
		users := m.cfg.App().Schema.Table(spec.Users)
		if _, err := ident.ParseRecord(string(who)); err == nil && users != nil {
			user, err := lenient(tx.Get(ctx, spec.Users, who))
			if err != nil {
				return err
			}
			if !user.Zero() {
				other, err := m.person(ctx, tx, user.Get(spec.FieldEmail).Text())
				if err != nil {
					return err
				}
				rows = append(rows, other)
			}
		}
		for _, row := range rows {
			if row.Get(fieldUnsubscribed).IsNull() == back {
				continue
			}
			row.Set(fieldUnsubscribed, to)
			if _, err := tx.Put(ctx, People, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// bounce notes that an address gets no mail.
func (m *Mails) bounce(ctx context.Context, tx store.Tx, address, why string) error {
	row, err := m.person(ctx, tx, address)
	if err != nil {
		return err
	}
	row.Set(fieldBounced, value.OfTime(m.cfg.Now()))
	row.Set(fieldProblem, value.OfText(clip(oneLine(why))))
	_, err = tx.Put(ctx, People, row)
	return err
}
