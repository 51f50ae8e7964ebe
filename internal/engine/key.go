package engine

import (
	"crypto/sha256"
	"encoding/binary"

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
					"for each request and the same for its retries.")
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
	b := make([]byte, 0, 256+len(c.Body))
	if op.house != nil && op.house.Secret {
		b = appendSized(b, op.name)
	} else {
		b = appendCall(b, op, c)
	}
	return sha256.Sum256(b)
}

func appendCall(b []byte, op *operation, c *Call) []byte {
	b = appendSized(b, op.name)
	b = appendSized(b, c.Record)
	b = append(binary.BigEndian.AppendUint64(b, uint64(len(c.Body))), c.Body...)
	b = appendSized(b, c.Params.Encode())
	if c.Web != nil {
		b = appendSized(appendSized(appendSized(b, c.Web.Pattern), c.Web.Path), c.Web.Query.Encode())
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.IfMatch))
	b = binary.BigEndian.AppendUint64(b, uint64(len(op.batch)))
	for i, part := range op.batch {
		b = appendCall(b, part, &c.Batch[i])
	}
	return b
}

// appendSized appends a text after its length, so that no two lists of texts are hashed
// alike.
func appendSized(b []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(text))), text...)
}
