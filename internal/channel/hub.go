package channel

import (
	"context"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/value"
)

// Hub holds the channels of one process. It is safe for concurrent use.
type Hub struct {
	cfg Config
}

// New returns a Hub.
func New(c Config) *Hub { return &Hub{cfg: c} }

// Connect makes a connection that may be in channels; who names it, over all processes.
func (h *Hub) Connect(who string) *Member { return &Member{hub: h, who: who} }

// Publish tells a message of the app's code to the members that are at this process.
func (h *Hub) Publish(name string, message []byte) {}

// Follow takes an entry of the journal: the messages in it are told, and memberships
// that may not hold any more are judged again. It is a follow.Live.
func (h *Hub) Follow(e journal.Entry) {}

// Swapped has every membership judged again, because another app is in force.
func (h *Hub) Swapped() {}

// Member is one connection and the channels that it is in. It is safe for concurrent
// use. Errors are *fault.Fault.
type Member struct {
	hub *Hub
	who string
}

// Join makes the connection a member of the channel, and returns who is there, itself
// among them; for a channel without presence it returns none. state may be nil. The call
// says who asks, and is kept to judge the membership again.
func (m *Member) Join(ctx context.Context, call engine.Call, name string, state []byte) ([]Present,
	error) {
	return nil, nil
}

// Leave ends a membership; it is no error if there is none.
func (m *Member) Leave(name string) error { return nil }

// Send tells a message to all members of the channel, the sender's own connection not
// among them.
func (m *Member) Send(ctx context.Context, call engine.Call, name string, message []byte) error {
	return nil
}

// State changes what the member shows of himself in the channel; nil shows nothing.
func (m *Member) State(name string, value []byte) error { return nil }

// Ready receives when Take has something.
func (m *Member) Ready() <-chan struct{} { return nil }

// Take returns what happened since, and never blocks. Of one who is slow the presence is
// merged, and messages beyond a bound are dropped.
func (m *Member) Take() []Event { return nil }

// Close leaves all channels.
func (m *Member) Close() {}

func appendText(b []byte, text string) []byte { return value.AppendQuoted(b, text) }

func appendRaw(b, raw []byte) []byte {
	if raw == nil {
		return append(b, "null"...)
	}
	return append(b, raw...)
}
