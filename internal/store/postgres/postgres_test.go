package postgres

import (
	"context"
	"testing"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// place is an empty database of the test, which runs beside others: it waits for the server
// most of the time.
func place(t *testing.T) storetest.Place {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	return func(f storetest.Faults) (storetest.Store, error) {
		return Open(context.Background(), Config{URL: url, Fault: faults(f)})
	}
}

func TestStoreKeepsItsContract(t *testing.T) { storetest.Run(t, place) }
