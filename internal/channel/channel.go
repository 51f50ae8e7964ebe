// Package channel is the hub of the app's channels: who is in which, what they say to
// one another and what each shows of himself. Nothing of it is stored. A message
// arrives at most once, and those of one sender in their order; what is shown arrives
// as it is last. Who may join and send, the engine decides, and again whenever a record
// changes that its rule reads. How members are reached is left to the doors.
package channel

import (
	"context"
	"log/slog"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Config is what a Hub is made of.
type Config struct {
	// Engine decides who may join and send.
	Engine Engine
	// Bus reaches the hubs of other processes; nil where there is none.
	Bus store.Bus
	// Revoked returns the sessions that an entry ended; nil knows of none.
	Revoked func(e *journal.Entry) []ident.Record
	// Beat is how often this process says to the others that it lives; 0 means once in a
	// second. The members of one of which nothing was heard for four beats have left.
	Beat time.Duration
	// Log takes what goes wrong; nil means nowhere.
	Log *slog.Logger
}

// Engine is what a Hub asks of the engine.
type Engine interface {
	Enter(ctx context.Context, call engine.Call) (engine.Entrance, error)
	App() *app.App
}

// Present is a member of a channel as the others see him.
type Present struct {
	// Who is the connection.
	Who string
	// User is JSON: an object of the user's id and the fields that the app file names in
	// presence, null for one who is not signed in.
	User []byte
	// State is the JSON that the member shows of himself, nil for none.
	State []byte
}

// AppendJSON writes {"who":…,"user":…,"state":…}, without state where there is none.
func (p Present) AppendJSON(b []byte) []byte {
	b = append(b, `{"who":`...)
	b = appendText(b, p.Who)
	b = append(b, `,"user":`...)
	b = appendRaw(b, p.User)
	if p.State != nil {
		b = append(b, `,"state":`...)
		b = append(b, p.State...)
	}
	return append(b, '}')
}

// Kind says what an Event tells.
type Kind uint8

// The kinds of events.
const (
	// Message is what a member sent, or the app's code, which has no From and no User.
	Message Kind = iota + 1
	// Joined is a member who came. Of one who is there already it says how he is seen
	// from now on.
	Joined
	// Left is a member who went.
	Left
	// State is what a member shows of himself from now on.
	State
	// Ended is that the one who gets it is no member any more.
	Ended
)

// Event is something that happened in a channel, for one who is in it. What it holds is
// shared and must not be changed.
type Event struct {
	Kind    Kind
	Channel string
	// From is the connection of a Message's sender, User his id.
	From string
	User string
	// Message is the JSON of a Message.
	Message []byte
	// Present is who Joined; of Left, Who alone; of State, Who and State.
	Present Present
	// Code says why a membership Ended.
	Code string

	// text is the event as it is pushed, if that is known.
	text []byte
}

// AppendJSON writes the event as it is pushed, an object of one line.
func (e Event) AppendJSON(b []byte) []byte {
	if e.text != nil {
		return append(b, e.text...)
	}
	b = append(b, `{"channel":`...)
	b = appendText(b, e.Channel)
	switch e.Kind {
	case Message:
		if e.From != "" {
			b = append(b, `,"from":`...)
			b = appendText(b, e.From)
			b = append(b, `,"user":`...)
			if e.User == "" {
				b = append(b, "null"...)
			} else {
				b = appendText(b, e.User)
			}
		}
		b = append(b, `,"message":`...)
		b = appendRaw(b, e.Message)
	case Joined:
		b = append(b, `,"joined":`...)
		b = e.Present.AppendJSON(b)
	case Left:
		b = append(b, `,"left":`...)
		b = appendText(b, e.Present.Who)
	case State:
		b = append(b, `,"state":{"who":`...)
		b = appendText(b, e.Present.Who)
		b = append(b, `,"value":`...)
		b = appendRaw(b, e.Present.State)
		b = append(b, '}')
	case Ended:
		b = append(b, `,"ended":{"code":`...)
		b = appendText(b, e.Code)
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendText(b []byte, text string) []byte { return value.AppendQuoted(b, text) }

func appendRaw(b, raw []byte) []byte {
	if raw == nil {
		return append(b, "null"...)
	}
	return append(b, raw...)
}
