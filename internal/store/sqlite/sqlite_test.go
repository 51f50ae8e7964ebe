package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// place is an empty file of the test.
func place(t *testing.T) storetest.Place {
	path := filepath.Join(t.TempDir(), "galley.db")
	return func(f storetest.Faults) (storetest.Store, error) {
		return Open(context.Background(), Config{Path: path, Unsafe: true,
			Fault: func(at sqlstore.Point) error {
				switch {
				case at == sqlstore.BeforeCommit && f.Before != nil:
					return f.Before()
				case at == sqlstore.AfterCommit && f.After != nil:
					return f.After()
				}
				return nil
			}})
	}
}

func TestStoreKeepsItsContract(t *testing.T) { storetest.Run(t, place) }
