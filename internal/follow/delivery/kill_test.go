package delivery_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow/delivery"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

// The environment of a process that is to be killed: its database, and the partner.
const (
	childDatabase = "GALLEY_TEST_DATABASE"
	childPartner  = "GALLEY_TEST_PARTNER"
)

// openAt opens a database by its address.
func openAt(t *testing.T, address string) (database, bool) {
	t.Helper()
	if path, found := strings.CutPrefix(address, "sqlite:"); found {
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return db, false
	}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: address, Readers: 6})
	if err != nil {
		t.Fatal(err)
	}
	return db, true
}

// TestProcessThatIsKilled is what the processes of TestAKilledServerLosesNothing do: make
// orders, change them, and say so, until they are killed. By itself it does nothing.
func TestProcessThatIsKilled(t *testing.T) {
	address := os.Getenv(childDatabase)
	if address == "" {
		return
	}
	db, shared := openAt(t, address)
	n := start(t, db, shared, os.Getenv(childPartner), nil)
	for {
		id := n.call(engine.Create, "", `{"n":0}`)
		fmt.Println("ack", id, 0)
		for c := 1; c < 4; c++ {
			n.call(engine.Update, id, fmt.Sprintf(`{"n":%d}`, c))
			fmt.Println("ack", id, c)
		}
	}
}

// TestAKilledServerLosesNothing kills servers at any moment, while they write and
// deliver. What they said was written is delivered, each record's messages in order.
func TestAKilledServerLosesNothing(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		killed(t, "sqlite:"+filepath.Join(t.TempDir(), "galley.db"), 8)
	})
	t.Run("postgres", func(t *testing.T) { killed(t, pgtest.Shared(t).Database(t), 3) })
}

func killed(t *testing.T, address string, rounds int) {
	p := newPartner(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	p.answer = func(_ message, nth int) int {
		if nth < 4 && chance.IntN(4) == 0 {
			return 503
		}
		return 200
	}
	acks := map[string]bool{}
	for range rounds {
		p.mu.Lock() // chance is the partner's
		most := 5 + chance.IntN(60)
		p.mu.Unlock()
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessThatIsKilled$")
		child.Env = append(os.Environ(), childDatabase+"="+address, childPartner+"="+p.URL)
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for got := 0; got < most && lines.Scan(); {
			if ack, found := strings.CutPrefix(lines.Text(), "ack "); found {
				acks[ack] = true
				got++
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it said before it died
			if ack, found := strings.CutPrefix(lines.Text(), "ack "); found {
				acks[ack] = true
			}
		}
		_ = child.Wait() // it was killed
	}
	if len(acks) < 5*rounds {
		t.Fatalf("only %d writes were acknowledged", len(acks))
	}
	db, shared := openAt(t, address)
	n := start(t, db, shared, p.URL, nil)
	n.until("all arrive", func(list []delivery.Info) bool {
		for _, i := range list {
			if i.State != delivery.Done {
				return false
			}
		}
		// The follower may have entries yet to accept.
		seen := map[string]bool{}
		for _, m := range p.await("", func([]message) bool { return true }) {
			seen[m.record+fmt.Sprint(" ", m.n)] = true
		}
		for ack := range acks {
			if !seen[ack] {
				return false
			}
		}
		return true
	})
	last := map[string]int64{}
	doubled := 0
	for _, m := range p.await("", func([]message) bool { return true }) {
		lane := strings.SplitN(m.body, ",", 2)[0] + m.record
		before, known := last[lane]
		switch {
		case known && m.n == before:
			doubled++
		case known && m.n != before+1:
			t.Errorf("%s: %d came after %d", lane, m.n, before)
		}
		last[lane] = m.n
	}
	t.Logf("%d writes, %d messages, %d of them again", len(acks), len(p.got), doubled)
	if len(last) == 0 {
		t.Error("nothing was delivered")
	}
}
