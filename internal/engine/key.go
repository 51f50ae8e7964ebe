package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
)

// keyMax is the greatest length of an idempotency key.
const keyMax = 255

// checkKey asks for a key where doing the operation twice would differ from doing it
// once. Code and the house know what they do.
func (r *run) checkKey(op *operation) error {
	key := r.call.Key
	if key == "" {
		if op.key && !r.call.Trusted {
			return fault.WithCode(fault.Malformed, "idempotency_key_missing",
				"Doing this twice would differ from doing it once, so it needs a key that is new "+
					`for each request and the same for its retries: curl -H "Idempotency-Key: $(uuidgen)" …`)
		}
		return nil
	}
	if len(key) > keyMax {
		return fault.New(fault.Malformed, "The Idempotency-Key has more than %d characters.", keyMax)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return fault.New(fault.Malformed, "The Idempotency-Key may hold visible ASCII alone.")
		}
	}
	return nil
}

// fingerprint hashes the whole input of a call: what makes it the same question. An
// input that holds a password is left out: the journal keeps the fingerprint, and this
// hash is a fast one to guess by. Of such a call no answer is given again anyway.
func fingerprint(op *operation, c *Call) journal.Fingerprint {
	h := sha256.New()
	if op.house != nil && op.house.Secret {
		hashText(h, op.name)
	} else {
		hashCall(h, op, c)
	}
	var f journal.Fingerprint
	h.Sum(f[:0])
	return f
}

func hashCall(h hash.Hash, op *operation, c *Call) {
	hashText(h, op.name, c.Record, string(c.Body), c.Params.Encode())
	var n [16]byte
	binary.BigEndian.PutUint64(n[:], uint64(c.IfMatch))
	binary.BigEndian.PutUint64(n[8:], uint64(len(op.batch)))
	h.Write(n[:])
	for i, part := range op.batch {
		hashCall(h, part, &c.Batch[i])
	}
}

// hashText hashes each text with its length, so that no two lists are hashed alike.
func hashText(h hash.Hash, texts ...string) {
	for _, t := range texts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(t)))
		h.Write(n[:])
		h.Write([]byte(t))
	}
}
