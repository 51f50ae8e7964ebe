// Package auth turns credentials into subjects: it hashes and verifies passwords,
// makes and recognises session tokens, and counts tries. It keeps what it needs in
// quiet collections of the store and decides nothing about records.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/galleybackend/galley/internal/fault"
)

// Bounds of a password, in characters for the least and in bytes for the greatest,
// so that a long one cannot be used to burn time.
const (
	PasswordMin = 8
	PasswordMax = 1024
)

// The cost of a hash: OWASP's second choice for argon2id, about 20 ms and 19 MiB.
const (
	hashTime    = 2
	hashMemory  = 19 << 10
	hashThreads = 1
	hashLen     = 32
	saltLen     = 16
)

// Hasher hashes and verifies passwords with argon2id (RFC 9106) in the PHC string
// format. At most as many run at once as there are cores, so that sign-ins cannot
// exhaust memory. It is safe for concurrent use.
type Hasher struct {
	turns chan struct{}
	dummy string
}

// NewHasher returns a Hasher.
func NewHasher() *Hasher {
	h := &Hasher{turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
	var salt [saltLen]byte
	_, _ = rand.Read(salt[:]) // crypto/rand never fails on the systems we run on
	// The dummy has the shape and cost of a real hash but was made of no password.
	h.dummy = phc(salt[:], make([]byte, hashLen))
	return h
}

func phc(salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		hashMemory, hashTime, hashThreads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// take waits for a turn, or for the end of ctx.
func (h *Hasher) take(ctx context.Context) error {
	select {
	case h.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "Too many people sign in at this moment. Try again.")
	}
}

// Hash returns the password's hash in PHC format.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.take(ctx); err != nil {
		return "", err
	}
	defer func() { <-h.turns }()
	var salt [saltLen]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return "", err
	}
	sum := argon2.IDKey([]byte(password), salt[:], hashTime, hashMemory, hashThreads, hashLen)
	return phc(salt[:], sum), nil
}

// Verify reports whether the password has the hash. An empty hash stands for an
// account that does not exist: it costs the same time and is never right. again
// reports that the hash was made at another cost and should be made anew.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (right, again bool, err error) {
	known := hash != ""
	if !known {
		hash = h.dummy
	}
	p, err := parsePHC(hash)
	if err != nil {
		return false, false, err
	}
	if err := h.take(ctx); err != nil {
		return false, false, err
	}
	defer func() { <-h.turns }()
	sum := argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.sum)))
	right = subtle.ConstantTimeCompare(sum, p.sum) == 1
	again = p.time != hashTime || p.memory != hashMemory || p.threads != hashThreads
	return right && known, again, nil
}

type params struct {
	time, memory uint32
	threads      uint8
	salt, sum    []byte
}

var errHash = errors.New("the stored hash of a password is no argon2id hash")

func parsePHC(hash string) (params, error) {
	var p params
	var version int
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return p, errHash
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, errHash
	}
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads)
	if err != nil || p.memory == 0 || p.memory > 1<<20 || p.time == 0 || p.time > 64 || p.threads == 0 {
		return p, errHash
	}
	b64 := base64.RawStdEncoding
	if p.salt, err = b64.DecodeString(parts[4]); err != nil {
		return p, errHash
	}
	if p.sum, err = b64.DecodeString(parts[5]); err != nil || len(p.sum) < 16 {
		return p, errHash
	}
	return p, nil
}
