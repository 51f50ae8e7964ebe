//go:build faults

package rpc_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"connectrpc.com/connect"
)

// A stream that is cut again and again, and taken up where it was: nothing is missed, and
// nothing told twice. GALLEY_CUTS says how often, 60 times otherwise.
func TestAStreamThatIsCutMissesNothing(t *testing.T) {
	cuts := 60
	if text := os.Getenv("GALLEY_CUTS"); text != "" {
		var err error
		if cuts, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	w := open(t, nil)
	ana := w.signUp("ana")
	for round := 1; cuts > 0; round++ {
		cutAgainAndAgain(t, w, ana, min(cuts, cutsMax), round)
		cuts -= cutsMax
	}
}

// cutsMax is how many cuts one query takes, so that its answer holds all that is written.
const cutsMax = 150

// cutAgainAndAgain follows the things of a price while they are made.
func cutAgainAndAgain(t *testing.T, w *world, ana *person, cuts, price int) {
	writes := 3 * cuts
	done := make(chan error, 1)
	go func() {
		for i := range writes {
			_, err := ana.try("Things/Create", fmt.Sprintf(`{"name":"n%d","price":"%d"}`, i, price),
				"Idempotency-Key", fmt.Sprint(price, "c", i))
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	seen, since := map[string]int{}, ""
	r := rand.New(rand.NewPCG(1, 1))
	protocols := []string{"grpc", "grpcweb", "connect"}
	for cut := 0; len(seen) < writes; cut++ {
		p := w.person(protocols[cut%len(protocols)])
		p.token = ana.token
		s := p.follow("Things/Follow", fmt.Sprintf(
			`{"page_size":500,"filter":"price == %d","since":"%s"}`, price, since))
		for n := 1 + r.IntN(3); (n > 0 || cut >= cuts) && len(seen) < writes; n-- {
			m, err := s.next()
			if connect.CodeOf(err) == connect.CodeDeadlineExceeded && cut < 2*cuts {
				break // a cut, too
			}
			if err != nil {
				t.Fatalf("after %d cuts and %d of %d records: %v", cut, len(seen), writes, err)
			}
			if m["reset"] == true && since != "" {
				t.Fatalf("after %d cuts all is told anew", cut)
			}
			changes, _ := m["changes"].([]any)
			for _, c := range changes {
				put, _ := c.(map[string]any)["put"].(map[string]any)
				if seen[fmt.Sprint(put["name"])]++; seen[fmt.Sprint(put["name"])] > 1 || put == nil {
					t.Fatalf("after %d cuts it is told again: %v", cut, c)
				}
			}
			if m["more"] != true {
				since = m["at"].(string)
			}
		}
		s.stop()
		p.http.CloseIdleConnections()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
