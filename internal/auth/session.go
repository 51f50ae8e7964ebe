package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// How long sessions last.
const (
	// SessionTime is the life of a browser's session and of a refresh token.
	SessionTime = 30 * 24 * time.Hour
	// TokenTime is the life of a token that is not in a cookie.
	TokenTime = time.Hour
)

// The quiet collections of sign-in, and the fields of a session.
const (
	Sessions  = "_sessions"
	Passwords = "_passwords"

	fieldUser    = "user"
	fieldHash    = "hash"
	fieldRefresh = "refresh"
	fieldFamily  = "family"
	fieldExpires = "expires"
	fieldEnds    = "ends"
	fieldAddress = "address"
	fieldAgent   = "agent"
)

// Collections returns the quiet collections that sign-in keeps.
func Collections() []*spec.Collection {
	text := value.Type{Kind: value.TypeString}
	long := value.Type{Kind: value.TypeString, Max: &value.Bound{Int: 512}}
	user := value.Type{Kind: value.TypeRelation, Of: spec.Users}
	moment := value.Type{Kind: value.TypeTime}
	maybe := func(t value.Type) value.Type { t.Optional = true; return t }
	return []*spec.Collection{{
		Name: Sessions, Quiet: true,
		Fields: []*spec.Field{
			{Name: fieldUser, Type: user, OnDelete: spec.OnDeleteCascade},
			{Name: fieldHash, Type: text, Unique: true},
			{Name: fieldRefresh, Type: maybe(text), Unique: true},
			{Name: fieldFamily, Type: maybe(text)},
			{Name: fieldExpires, Type: moment},
			{Name: fieldEnds, Type: moment},
			{Name: fieldAddress, Type: text},
			{Name: fieldAgent, Type: long},
		},
		Index: []spec.Index{
			{Fields: []spec.IndexField{{Name: fieldUser}}},
			{Fields: []spec.IndexField{{Name: fieldFamily}}},
			{Fields: []spec.IndexField{{Name: fieldEnds}}},
		},
	}, {
		Name: Passwords, Quiet: true,
		Fields: []*spec.Field{
			{Name: fieldUser, Type: user, OnDelete: spec.OnDeleteCascade, Unique: true},
			{Name: fieldHash, Type: long},
		},
	}}
}

// NewToken returns a fresh secret of 256 bits in URL-safe text.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails on the systems we run on
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// A refresh token is two secrets with a dot between: that of its family, which all the
// refresh tokens of a session share, and its own. So each of them that was ever used
// is known again, whatever came after it.
func newRefresh(family string) string { return family + "." + NewToken() }

func familyOf(refresh string) string {
	family, _, _ := strings.Cut(refresh, ".")
	return family
}

// tokenMax bounds what is taken for a token, in bytes.
const tokenMax = 128

// HashToken returns what is stored of a token: no one who reads the database can
// sign in with what is there.
func HashToken(token string) string {
	var text [2 * sha256.Size]byte
	var room [tokenMax]byte // so that a token that is taken is hashed without a copy
	sum := sha256.Sum256(append(room[:0], token...))
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// sessionMax is the greatest number of sessions a user has; the oldest goes first.
const sessionMax = 100

func errSession() error {
	return fault.New(fault.Unauthenticated, "The session has ended. Sign in again.")
}
