package mail_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/outbound/smtptest"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

// The variables by which a test tells a process of its own what to be.
const (
	nodeDatabase = "MAIL_NODE_DATABASE"
	nodeServer   = "MAIL_NODE_SERVER"
)

// workers is how many mails a node sends at once.
const workers = 4

// opened opens a database by its address.
func opened(address string) (database, bool, error) {
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		// A process that is killed loses nothing that it wrote, flushed or not.
		db, err := sqlite.Open(context.Background(), sqlite.Config{Path: path, Unsafe: true})
		return db, false, err
	}
	db, err := postgres.Open(context.Background(), postgres.Config{URL: address, Readers: 6})
	return db, true, err
}

// TestNode is no test where no test has started it: it is a process that sends mails until
// it is killed.
func TestNode(t *testing.T) {
	address := os.Getenv(nodeDatabase)
	if address == "" {
		return
	}
	db, shared, err := opened(address)
	if err != nil {
		t.Fatal(err)
	}
	server, err := outbound.ParseSMTP(os.Getenv(nodeServer))
	if err != nil {
		t.Fatal(err)
	}
	n := prepare(t, db, shared, func(c *mail.Config) {
		c.Sender, c.Pace.Workers, c.Pace.Portion = server, workers, 0
	})
	n.clock.Store(time.Now().UnixMilli())
	n.run()
	fmt.Println("up")
	for now := range time.Tick(50 * time.Millisecond) {
		n.clock.Store(now.UnixMilli())
	}
}

// launch starts a process that sends mails and returns what kills it.
func launch(t *testing.T, address, server string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNode$", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), nodeDatabase+"="+address, nodeServer+"="+server)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	for said.Scan() && said.Text() != "up" {
		t.Log(said.Text())
	}
	go func() {
		for said.Scan() { // so that it can write on
		}
	}()
	return func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // that it was killed is its end
	}
}

// fill makes the schema, so many users, and a campaign that goes to all of them.
func fill(t *testing.T, address string, users int) {
	t.Helper()
	db, shared, err := opened(address)
	if err != nil {
		t.Fatal(err)
	}
	n := prepare(t, db, shared, nil)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	shape := n.app.Schema.Table(spec.Users).Shape
	origin := func() journal.Origin {
		return journal.Origin{Call: ident.NewCall(), Operation: "fill", Now: time.Now(),
			Subject: ident.Subject{Who: ident.System, Name: "test"}}
	}
	for from := 0; from < users; from += 1000 {
		_, err := db.Write(t.Context(), origin(), func(tx store.Tx) error {
			for i := from; i < min(from+1000, users); i++ {
				row := value.NewRecord(shape)
				row.Slots[spec.SlotID] = value.OfText(string(ident.NewRecord()))
				row.Set("email", value.OfText(fmt.Sprintf("user%d@example.com", i)))
				row.Set("verified", value.OfBool(true))
				row.Set("name", value.OfText(fmt.Sprint("user ", i)))
				row.Set("deals", value.OfBool(true))
				if _, err := tx.Put(t.Context(), spec.Users, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = db.Write(t.Context(), origin(), func(tx store.Tx) error {
		return tx.Intend(t.Context(), journal.CodeIntent(journal.IntentEmail, "deals", value.OfNull()))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// survive sends a campaign with nodes that are killed, and looks what came of it.
func survive(t *testing.T, address string, users, kills, nodes int) {
	fill(t, address, users)
	s := smtptest.New(t, smtptest.Options{})
	began := time.Now()
	var running []func()
	for range nodes {
		running = append(running, launch(t, address, "smtp://"+s.Addr))
	}
	for k := range kills {
		// One is killed each time that so many more mails have come, in the midst of others.
		s.Wait((k + 1) * users / (kills + 2))
		running[k%nodes]()
		running[k%nodes] = launch(t, address, "smtp://"+s.Addr)
	}
	defer func() {
		for _, kill := range running {
			kill()
		}
	}()
	db, shared, err := opened(address)
	if !shared {
		// A file has one process at a time; the mails that came say when to look.
		s.Wait(users - kills*workers)
		for _, kill := range running {
			kill()
		}
		db, _, err = opened(address)
	}
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, db, shared, func(c *mail.Config) { to(t, s)(c); c.Pace.Portion = 0 })
	n.clock.Store(time.Now().UnixMilli())
	var c mail.Campaign
	n.until(mail.Filter{Limit: 1}, func([]mail.Letter) bool {
		n.clock.Store(time.Now().UnixMilli())
		all, err := n.mails.Campaigns(t.Context())
		if err != nil || len(all) != 1 {
			return false
		}
		c = all[0]
		return c.Made == int64(users) && c.Letters[mail.Sent]+c.Letters[mail.Unknown] == int64(users)
	})
	t.Logf("%d mails and %d kills took %v: %v", users, kills, time.Since(began).Round(time.Millisecond), c.Letters)
	mails := s.Mails()
	got := ids(t, mails)
	if len(got) != len(mails) {
		t.Errorf("of %d mails %d came twice", len(mails), len(mails)-len(got))
	}
	unknown := c.Letters[mail.Unknown]
	if most := int64(workers * (kills + nodes)); unknown > most {
		t.Errorf("of %d letters nobody knows, want at most %d", unknown, most)
	}
	if sent := c.Letters[mail.Sent]; int64(len(got)) < sent || int64(len(got)) > sent+unknown {
		t.Errorf("%d letters are sent and %d unknown, and the server took %d", sent, unknown, len(got))
	}
}

func TestTenThousandMailsSurviveKills(t *testing.T) {
	survive(t, "sqlite:"+filepath.Join(t.TempDir(), "galley.db"), 10_000, 5, 1)
}

func TestManyNodesSurviveKills(t *testing.T) {
	survive(t, pgtest.Shared(t).Database(t), 1500, 4, 3)
}
