//go:build faults

package conform

import (
	"path/filepath"
	"testing"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// TestWholeProof is what galley conform does, on each database.
func TestWholeProof(t *testing.T) {
	for name, address := range map[string]string{
		"file":   "sqlite:" + filepath.Join(t.TempDir(), "galley.db"),
		"server": pgtest.Shared(t).Database(t),
	} {
		t.Run(name, func(t *testing.T) {
			if err := Run(t.Context(), address, func(v Verdict) {
				t.Logf("%v %s, %d ms", v.Holds, v.Guarantee, v.Millis)
				for _, f := range v.Findings {
					t.Errorf("%s: %s", f.Check, f.Text)
				}
			}); err != nil {
				t.Error(err)
			}
		})
	}
}
