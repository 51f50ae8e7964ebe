package store

import "context"

// Bus carries words between the processes that are on one database. A word arrives at
// most once, those of one process in their order, and nothing is kept: what is said
// while a connection is lost is lost. It is for what may be lost; what may not is in the
// journal. A store that has none is no Bus.
type Bus interface {
	// Publish says a word of at most BusMax bytes of UTF-8 without NUL to all who listen,
	// the own process among them.
	Publish(ctx context.Context, word []byte) error
	// Listen calls hear with each word, one after the other, until ctx ends. A connection
	// that is lost is made anew; its end is told by calling hear with nil.
	Listen(ctx context.Context, hear func(word []byte)) error
}

// BusMax is the greatest size of a word on a Bus, in bytes.
const BusMax = 64 << 10
