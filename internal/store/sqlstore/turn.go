package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// historyMask covers the part of a turn that tells of which history it is, so that who is
// on the database when that is restored to another one does not take the one for the other.
const historyMask = 1<<16 - 1

// historyOf is what turns of the history of an epoch have in common.
func historyOf(epoch string) int64 {
	sum := sha256.Sum256([]byte(epoch))
	return int64(binary.BigEndian.Uint16(sum[:]))
}

// newTurn names a turn; one after which nobody is to have another is negative.
func (s *Store) newTurn(away bool) int64 {
	turn := rand.Int64()&^historyMask | s.history.Load()
	if away {
		return -1 - turn
	}
	return turn
}

// foreign reports whether a turn is one of another history. Where nobody had a turn yet,
// or nobody is to have one, that does not matter.
func (s *Store) foreign(turn int64) bool {
	return turn > 0 && turn&historyMask != s.history.Load()
}
