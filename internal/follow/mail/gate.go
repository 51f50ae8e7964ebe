package mail

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// persons are what is known of a letter's reader: as a user, and as an address, which
// are one record where no user has the address.
type persons []value.Record

// persons reads what is known of a reader.
func (m *Mails) persons(ctx context.Context, v store.View, r reader) (persons, error) {
	var out persons
	for _, who := range []string{r.who(), r.address} {
		if len(out) > 0 && out[0].Get(fieldWho).Text() == who {
			continue
		}
		row, err := m.person(ctx, v, who)
		if err != nil {
			return nil, err
		}
		if holder := row.Get(fieldHolder).Text(); holder != "" {
			// A letter that is gone keeps no place.
			letter, err := lenient(v.Get(ctx, Letters, ident.Record(holder)))
			if err != nil {
				return nil, err
			}
			if letter.Zero() {
				row.Set(fieldHolder, value.OfNull())
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// self is the record under which the reader is remembered.
func (p persons) self() value.Record { return p[0] }

// address is the record of the address itself.
func (p persons) address() value.Record { return p[len(p)-1] }

// forbids says why a letter must not be sent now, "" if it may. The bounds hold for a
// person over all emails that declare them, so that no two can combine to break one:
// between two mails lies at least the longer `every` of both.
func (p persons) forbids(email *app.Email, letter ident.Record, now time.Time) string {
	if at := p.address(); !at.Get(fieldBounced).IsNull() {
		return "the address bounced: " + at.Get(fieldProblem).Text()
	}
	for _, row := range p {
		switch {
		case email.Marketing() && !row.Get(fieldUnsubscribed).IsNull():
			return "unsubscribed"
		case email.Spec.UntilClick && !row.Get(fieldClicked).IsNull():
			return "a link was clicked"
		case email.Spec.Every == 0:
			continue
		}
		holder := ident.Record(row.Get(fieldHolder).Text())
		if holder == letter {
			continue // its own place is kept for it
		}
		if holder != "" {
			return "another mail is on its way"
		}
		last, span := row.Get(fieldLast), max(email.Spec.Every, row.Get(fieldRhythm).Duration())
		if !last.IsNull() && now.Sub(last.Time()) < span {
			return days(span) + " are not over"
		}
	}
	return ""
}

// days writes a span as the app file does.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

// reserve keeps the reader's place for a letter, so that no other mail passes it by.
func (m *Mails) reserve(ctx context.Context, tx store.Tx, p persons, email *app.Email,
	letter ident.Record) error {
	row := p.self()
	stored := row.Slots[spec.SlotVersion].Kind() != value.Absent
	held := row.Get(fieldHolder).Text() == string(letter)
	if email.Spec.Every > 0 && !held {
		row.Set(fieldHolder, value.OfText(string(letter)))
	} else if stored || !email.Marketing() && !email.Spec.UntilClick && !email.Template.Unsubscribes() {
		return nil // no link of the mail leads to what is known of its reader
	}
	_, err := tx.Put(ctx, People, row)
	return err
}

// settle frees the reader's place that was kept for a letter, and begins the wait for
// the next mail if this one was sent, or may have been.
func (m *Mails) settle(ctx context.Context, tx store.Tx, who string, letter ident.Record,
	email *app.Email, sent bool) error {
	row, err := lenient(tx.Get(ctx, People, named(People, who)))
	if err != nil || row.Zero() || row.Get(fieldHolder).Text() != string(letter) {
		return err
	}
	row.Set(fieldHolder, value.OfNull())
	if sent && email != nil {
		row.Set(fieldLast, value.OfTime(m.cfg.Now()))
		row.Set(fieldRhythm, value.OfDuration(email.Spec.Every))
	}
	_, err = tx.Put(ctx, People, row)
	return err
}
