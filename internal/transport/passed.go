package transport

import "net/http"

// Passed is a request that a door hands on without a meaning of its own for it: to
// another server, or to the app's own code.
type Passed struct {
	// Path is what follows the name in the address, without a slash before it, as it
	// was meant: nothing in it is escaped.
	Path string
	// Query is the query as it came.
	Query  string
	Header http.Header
	Body   []byte
}

// Raw is an answer whose form is not ours.
type Raw struct {
	Status int
	// Header holds what is sent beside what every answer has.
	Header http.Header
	Body   []byte
}
