package spec

import (
	"slices"

	"github.com/galleybackend/galley/internal/fault"
)

// Codes returns the problem codes of the house, sorted. An app may say their
// sentence in its own words, but no refusal or check of its own can bear them.
func Codes() []string {
	codes := []string{
		"already_exists", "idempotency_key_missing", "idempotency_key_reused", "in_use",
		"invalid_cursor", "invalid_filter", "reply_not_kept", "refused",
	}
	for k := fault.Internal; k <= fault.Unknown; k++ {
		codes = append(codes, k.Code())
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}
