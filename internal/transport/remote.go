package transport

import (
	"net/http"

	"github.com/galleybackend/galley/internal/engine"
)

// Remote is a request over HTTP whose answer is not in HTTP's own words, but in those of
// a protocol that HTTP carries.
type Remote struct {
	Writer  http.ResponseWriter
	Request *http.Request
	// Call has what every call has: who asks, from where, under which key.
	Call engine.Call
	// Refused is why the call cannot be made, nil if it can.
	Refused error
	// Told is called once the engine has answered and before anything is written: it sets
	// the headers that every answer has. The reply is nil for a call that reads.
	Told func(reply *engine.Reply, err error)
	// Words are the codes of the app in force.
	Words *Words
}
