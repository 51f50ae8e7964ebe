package postgres

import (
	"context"
	"testing"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// place is an empty database of the test.
func place(t *testing.T) storetest.Place {
	url := pgtest.Shared(t).Database(t)
	return func(f storetest.Faults) (storetest.Store, error) {
		return Open(context.Background(), Config{URL: url, Fault: faults(f)})
	}
}

func TestStoreKeepsItsContract(t *testing.T) { storetest.Run(t, place) }
