package live

import (
	"context"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/journal"
)

// Engine is what a Hub asks of the engine.
type Engine interface {
	// Query answers a list.
	Query(ctx context.Context, call engine.Call) (engine.Answer, error)
}

// Config is what a Hub is made of.
type Config struct {
	Engine Engine
	// Append writes an item as JSON, as every door does: transport.AppendItem.
	Append func(dst []byte, item *engine.Item) []byte
	// Epoch names the history that the journal tells: places of another one are void.
	Epoch string
}

// Hub keeps the subscriptions of one process. It is safe for concurrent use.
type Hub struct {
	cfg Config
}

// New returns a Hub, which must be closed.
func New(c Config) *Hub { return &Hub{cfg: c} }

// At writes a place as it goes over the wire: epoch and place.
func (h *Hub) At(seq journal.Seq) string { return h.cfg.Epoch + ":" + seq.String() }

// Close tells every connection that the server is closing.
func (h *Hub) Close() {}
