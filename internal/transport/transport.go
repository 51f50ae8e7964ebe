// Package transport is what every door says alike: which operation a path names,
// how items, answers and replies are written as JSON, and which status and problem a
// fault becomes. It decides nothing; the engine does. How bytes arrive and leave is
// left to the doors, its children.
package transport

import (
	"context"
	"net/http"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
)

// Engine is what a door asks. It is safe for concurrent use.
type Engine interface {
	// Query answers a call that reads.
	Query(ctx context.Context, call engine.Call) (engine.Answer, error)
	// Execute performs a call that writes.
	Execute(ctx context.Context, call engine.Call) (engine.Reply, error)
}

// answers is the one table from kinds of faults to what the wires call them.
var answers = [...]struct {
	status int
	grpc   string
}{
	fault.Internal:        {http.StatusInternalServerError, "INTERNAL"},
	fault.Malformed:       {http.StatusBadRequest, "INVALID_ARGUMENT"},
	fault.Invalid:         {http.StatusUnprocessableEntity, "INVALID_ARGUMENT"},
	fault.Unauthenticated: {http.StatusUnauthorized, "UNAUTHENTICATED"},
	fault.Denied:          {http.StatusForbidden, "PERMISSION_DENIED"},
	fault.NotFound:        {http.StatusNotFound, "NOT_FOUND"},
	fault.Exists:          {http.StatusConflict, "ALREADY_EXISTS"},
	fault.Refused:         {http.StatusConflict, "FAILED_PRECONDITION"},
	fault.Conflict:        {http.StatusConflict, "ABORTED"},
	fault.Stale:           {http.StatusPreconditionFailed, "ABORTED"},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, "INVALID_ARGUMENT"},
	fault.Unsupported:     {http.StatusUnsupportedMediaType, "INVALID_ARGUMENT"},
	fault.Exhausted:       {http.StatusTooManyRequests, "RESOURCE_EXHAUSTED"},
	fault.Upstream:        {http.StatusBadGateway, "UNAVAILABLE"},
	fault.Unavailable:     {http.StatusServiceUnavailable, "UNAVAILABLE"},
	fault.Timeout:         {http.StatusGatewayTimeout, "DEADLINE_EXCEEDED"},
	fault.Unknown:         {http.StatusServiceUnavailable, "UNKNOWN"},
}

// Status returns the HTTP status of a kind of fault.
func Status(k fault.Kind) int { return answers[k].status }

// GRPC returns the name of the gRPC code of a kind of fault.
func GRPC(k fault.Kind) string { return answers[k].grpc }
