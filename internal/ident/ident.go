// Package ident names things: records, calls, and the subjects who make calls. It
// makes and reads the names and leaves their meaning to others.
package ident

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	mrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// Record is a record's id: 26 characters, a UUIDv7 (RFC 9562) in the base32 that
// TypeID uses, so that ids sort by the time of their making.
type Record string

const (
	alphabet  = "0123456789abcdefghjkmnpqrstvwxyz"
	recordLen = 26
)

// ErrRecord is what ParseRecord returns for text that is no record id.
var ErrRecord = errors.New("an id has 26 characters of 0-9 and a-z without i, l, o, u, " +
	"and begins with 0 to 7")

// NewRecord returns an id never given out before. Ids of one process rise.
func NewRecord() Record {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand never fails on the systems we run on
	}
	return stamp(b, clock())
}

// last is the newest instant given out, in units of 1/4096 ms, so that ids rise
// even within a millisecond.
var last atomic.Int64

func clock() int64 {
	now := time.Now()
	t := now.UnixMilli()<<12 | int64(now.Nanosecond()%1e6)<<12/1e6
	for {
		old := last.Load()
		if t <= old {
			t = old + 1
		}
		if last.CompareAndSwap(old, t) {
			return t
		}
	}
}

// RecordAt returns the n-th id of a call that runs at the instant now with the
// chance of r: the same arguments give the same id, so that a call that is run
// again makes the same records. Ids of one call rise with n up to 4095.
func RecordAt(now time.Time, r *mrand.Rand, n int) Record {
	var b [16]byte
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	return stamp(b, now.UnixMilli()<<12|int64(n&0xfff))
}

// stamp writes time, version and variant over the chance in b.
func stamp(b [16]byte, t int64) Record {
	ms := t >> 12
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = 0x70 | byte(t>>8)&0x0f
	b[7] = byte(t)
	b[8] = b[8]&0x3f | 0x80
	return FromBytes(b)
}

// FromBytes writes 16 bytes as an id.
func FromBytes(b [16]byte) Record {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	var out [recordLen]byte
	for i := recordLen - 1; i >= 0; i-- {
		out[i] = alphabet[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return Record(out[:])
}

// ParseRecord returns text as an id, or ErrRecord. There is one form for each id:
// lower case only, and nothing but the id.
func ParseRecord(text string) (Record, error) {
	if len(text) != recordLen || text[0] > '7' {
		return "", ErrRecord
	}
	for i := range len(text) {
		if c := text[i]; !(c >= '0' && c <= '9' ||
			c >= 'a' && c <= 'z' && c != 'i' && c != 'l' && c != 'o' && c != 'u') {
			return "", ErrRecord
		}
	}
	return Record(text), nil
}

// Made returns the instant, to the millisecond, in which the id says that it was made.
// Whoever chooses an id chooses it too. It is 1970 for what is no id.
func (r Record) Made() time.Time {
	if len(r) != recordLen {
		return time.UnixMilli(0)
	}
	var ms int64
	for i := range 10 { // the first ten characters hold the 48 bits
		ms = ms<<5 | int64(max(strings.IndexByte(alphabet, r[i]), 0))
	}
	return time.UnixMilli(ms)
}

// Call is the id of one call, unique over all nodes for practical purposes: 16
// characters, ten for the millisecond and six of chance. It is the Request-Id.
type Call string

// NewCall returns a fresh call id.
func NewCall() Call {
	var out [16]byte
	ms := time.Now().UnixMilli()
	for i := 9; i >= 0; i-- {
		out[i] = alphabet[ms&31]
		ms >>= 5
	}
	r := mrand.Uint64()
	for i := 10; i < 16; i++ {
		out[i] = alphabet[r&31]
		r >>= 5
	}
	return Call(out[:])
}

// Who is the kind of a subject.
type Who uint8

// The kinds of subjects. Everybody who is not signed in is one subject.
const (
	Anonymous Who = iota
	User
	Admin
	Job
	System
)

// Subject is who makes a call. It is comparable.
type Subject struct {
	Who Who
	// ID is a user's record; empty for others.
	ID Record
	// Name is an admin's or a job's name, or the part of the house that acts.
	Name string
	// Session is the session by which a user is signed in, if by one.
	Session Record
}

// String returns the subject as the journal writes it and as the scope of
// idempotency keys: "anonymous", "users/01k…", "admin/carla", "job/…", "system/…".
// The session is not part of it: a retry may come from another.
func (s Subject) String() string {
	switch s.Who {
	case User:
		return "users/" + string(s.ID)
	case Admin:
		return "admin/" + s.Name
	case Job:
		return "job/" + s.Name
	case System:
		return "system/" + s.Name
	default:
		return "anonymous"
	}
}

// ParseSubject reads what String writes. What it does not know is a system subject.
func ParseSubject(text string) Subject {
	for i := range len(text) {
		if text[i] != '/' {
			continue
		}
		rest := text[i+1:]
		switch text[:i] {
		case "users":
			return Subject{Who: User, ID: Record(rest)}
		case "admin":
			return Subject{Who: Admin, Name: rest}
		case "job":
			return Subject{Who: Job, Name: rest}
		case "system":
			return Subject{Who: System, Name: rest}
		}
		break
	}
	if text == "anonymous" || text == "" {
		return Subject{}
	}
	return Subject{Who: System, Name: text}
}
