package mail

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// The quiet collections of mail: letters, what is known of the people who get them, and
// the sendings to sets of people.
const (
	Letters   = "_letters"
	People    = "_mail_people"
	Campaigns = "_campaigns"
)

// The states of a letter.
const (
	Waiting = "waiting"
	Claimed = "claimed"
	Sending = "sending"
	Sent    = "sent"
	// Held is a letter that a promise to its reader forbids; it is never sent.
	Held = "held"
	// Bounced is one to an address that does not exist.
	Bounced = "bounced"
	// Unknown is marketing of which nobody knows whether it was sent; it is not sent
	// again.
	Unknown = "unknown"
	// Parked is one that failed for good, or too often, and waits for a person.
	Parked = "parked"
)

// The states of a campaign.
const (
	Running = "running"
	Done    = "done"
)

// The fields of the records.
const (
	fieldEmail    = "email"
	fieldCause    = "cause"
	fieldWho      = "who"
	fieldUser     = "user"
	fieldAddress  = "address"
	fieldState    = "state"
	fieldDue      = "due"
	fieldNode     = "node"
	fieldTries    = "tries"
	fieldProblem  = "problem"
	fieldOf       = "of"
	fieldRecord   = "record"
	fieldData     = "data"
	fieldCampaign = "campaign"
	fieldSubject  = "subject"
	fieldSource   = "source"
	fieldSent     = "sent"
	fieldClicked  = "clicked"

	fieldLast         = "last"
	fieldRhythm       = "rhythm"
	fieldHolder       = "holder"
	fieldUnsubscribed = "unsubscribed"
	fieldBounced      = "bounced"

	fieldAt     = "at"
	fieldCursor = "cursor"
	fieldTotal  = "total"
	fieldMade   = "made"
)

// How long is kept what was sent, and how sendings went.
const (
	keepLetters   = 90 * 24 * time.Hour
	keepCampaigns = 365 * 24 * time.Hour
)

// Collections returns the quiet collections of mail, none for an app without emails. A
// letter that waits is due at a time, one that is claimed or being sent has a node, and
// only then those fields are set.
func Collections(s *spec.Spec) []*spec.Collection {
	if len(s.Emails) == 0 {
		return nil
	}
	of := func(k value.TypeKind) value.Type { return value.Type{Kind: k} }
	maybe := func(k value.TypeKind) value.Type { return value.Type{Kind: k, Optional: true} }
	text := func(most int64) value.Type {
		return value.Type{Kind: value.TypeText, Optional: true, Max: &value.Bound{Int: most}}
	}
	by := func(names ...string) spec.Index {
		var x spec.Index
		for _, n := range names {
			x.Fields = append(x.Fields, spec.IndexField{Name: n})
		}
		return x
	}
	letters := &spec.Collection{Name: Letters, Quiet: true, Keep: keepLetters,
		Index: []spec.Index{by(fieldDue), by(fieldNode), by(fieldCampaign, fieldState),
			by(fieldState), by(fieldAddress), by(spec.FieldCreated)},
		Fields: []*spec.Field{
			{Name: fieldEmail, Type: of(value.TypeString)},
			{Name: fieldCause, Type: of(value.TypeString)},
			{Name: fieldWho, Type: of(value.TypeString)},
			{Name: fieldAddress, Type: of(value.TypeString)},
			{Name: fieldState, Type: of(value.TypeString)},
			{Name: fieldDue, Type: maybe(value.TypeTime)},
			{Name: fieldNode, Type: maybe(value.TypeString)},
			{Name: fieldTries, Type: of(value.TypeInt)},
			{Name: fieldProblem, Type: text(problemMax)},
			{Name: fieldOf, Type: maybe(value.TypeString)},
			{Name: fieldRecord, Type: text(1 << 20)},
			{Name: fieldData, Type: text(1 << 20)},
			{Name: fieldCampaign, Type: maybe(value.TypeString)},
			{Name: fieldSubject, Type: text(1 << 10)},
			{Name: fieldSource, Type: text(4 << 20)},
			{Name: fieldSent, Type: maybe(value.TypeTime)},
			{Name: fieldClicked, Type: maybe(value.TypeTime)},
		}}
	if s.Collection(spec.Users) != nil {
		// The letters of a person go with his account.
		user := value.Type{Kind: value.TypeRelation, Of: spec.Users, Optional: true}
		letters.Fields = append(letters.Fields,
			&spec.Field{Name: fieldUser, Type: user, OnDelete: spec.OnDeleteCascade})
		letters.Index = append(letters.Index, by(fieldUser))
	}
	return []*spec.Collection{letters,
		{Name: People, Quiet: true, Index: []spec.Index{by(fieldBounced), by(fieldUnsubscribed)},
			Fields: []*spec.Field{
				{Name: fieldWho, Type: of(value.TypeString)},
				{Name: fieldLast, Type: maybe(value.TypeTime)},
				{Name: fieldRhythm, Type: maybe(value.TypeDuration)},
				{Name: fieldHolder, Type: maybe(value.TypeString)},
				{Name: fieldClicked, Type: maybe(value.TypeTime)},
				{Name: fieldUnsubscribed, Type: maybe(value.TypeTime)},
				{Name: fieldBounced, Type: maybe(value.TypeTime)},
				{Name: fieldProblem, Type: text(problemMax)},
			}},
		{Name: Campaigns, Quiet: true, Keep: keepCampaigns, Index: []spec.Index{by(fieldState)},
			Fields: []*spec.Field{
				{Name: fieldEmail, Type: of(value.TypeString)},
				{Name: fieldCause, Type: of(value.TypeString)},
				{Name: fieldAt, Type: of(value.TypeTime)},
				{Name: fieldState, Type: of(value.TypeString)},
				{Name: fieldNode, Type: maybe(value.TypeString)},
				{Name: fieldOf, Type: maybe(value.TypeString)},
				{Name: fieldRecord, Type: text(1 << 20)},
				{Name: fieldData, Type: text(1 << 20)},
				{Name: fieldCursor, Type: of(value.TypeString)},
				{Name: fieldTotal, Type: maybe(value.TypeInt)},
				{Name: fieldMade, Type: of(value.TypeInt)},
				{Name: fieldProblem, Type: text(problemMax)},
			}},
	}
}

// named returns the id of the one record with a name.
func named(collection, name string) ident.Record {
	sum := sha256.Sum256([]byte(collection + "\x00" + name))
	sum[0] &= 0x7f
	return ident.FromBytes([16]byte(sum[:16]))
}

func idOf(r value.Record) ident.Record { return ident.Record(r.Slots[spec.SlotID].Text()) }

// set fills fields of a record.
func set(r value.Record, fields map[string]value.Value) {
	for name, v := range fields {
		r.Set(name, v)
	}
}

func nullOr(text string) value.Value {
	if text == "" {
		return value.OfNull()
	}
	return value.OfText(text)
}

// clip bounds a problem that is kept, which may be another server's words.
func clip(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", "?")
	if len(text) <= problemMax {
		return text
	}
	cut := problemMax - 3
	for cut > 0 && text[cut]&0xc0 == 0x80 {
		cut--
	}
	return text[:cut] + "…"
}

// lenient forgives that a record is not there: it is zero then.
func lenient(r value.Record, err error) (value.Record, error) {
	if fault.Is(err, fault.NotFound) {
		return value.Record{}, nil
	}
	return r, err
}

// column is a field of a plan's own record.
func column(collection, name string, kind value.TypeKind, optional bool) query.Field {
	return query.Field{Of: query.Row{}, Collection: collection, Name: name,
		Type: value.Type{Kind: kind, Optional: optional}}
}

func param(n int, kind value.TypeKind) query.Param {
	return query.Param{Index: n, Type: value.Type{Kind: kind}}
}

var (
	// duePlan finds letters that are due.
	duePlan = &query.Plan{From: Letters, Limit: claimMax,
		Where: query.Compare{Op: "<=", L: column(Letters, fieldDue, value.TypeTime, true),
			R: param(0, value.TypeTime)},
		Sort: []query.Order{{By: column(Letters, fieldDue, value.TypeTime, true)},
			{By: column(Letters, spec.FieldID, value.TypeID, false)}}}
	// heldPlan finds letters that a node has.
	heldPlan = &query.Plan{From: Letters, Limit: 1000,
		Where: query.Compare{Op: ">=", L: column(Letters, fieldNode, value.TypeString, true),
			R: query.Literal{Value: value.OfText("")}}}
	// runningPlan finds campaigns that are not done.
	runningPlan = &query.Plan{From: Campaigns, Limit: 100,
		Where: query.Same{L: column(Campaigns, fieldState, value.TypeString, false),
			R: query.Literal{Value: value.OfText(Running)}},
		Sort: []query.Order{{By: column(Campaigns, spec.FieldID, value.TypeID, false)}}}
	// addressPlan finds the user of an address.
	addressPlan = &query.Plan{From: spec.Users, Limit: 1,
		Where: query.Same{L: column(spec.Users, spec.FieldEmail, value.TypeEmail, false),
			R: param(0, value.TypeEmail)}}
)

// person reads what is known of a person, or makes a record of nothing.
func (m *Mails) person(ctx context.Context, v store.View, who string) (value.Record, error) {
	row, err := lenient(v.Get(ctx, People, named(People, who)))
	if err != nil || !row.Zero() {
		return row, err
	}
	row = value.NewRecord(m.shape(People))
	row.Slots[spec.SlotID] = value.OfText(string(named(People, who)))
	row.Set(fieldWho, value.OfText(who))
	return row, nil
}
