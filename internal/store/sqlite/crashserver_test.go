package sqlite

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// The environment of a test binary that is to be a server that may be killed.
const (
	envPath    = "GALLEY_CRASH_PATH"
	envRun     = "GALLEY_CRASH_RUN"
	envUnsafe  = "GALLEY_CRASH_UNSAFE"
	envWorkers = "GALLEY_CRASH_WORKERS"
	// envCheck names a file that says what to look for in what a crash left.
	envCheck = "GALLEY_CRASH_CHECK"
)

// The codes with which the server ends by itself.
const (
	exitOpen   = 3
	exitFailed = 4
	exitTold   = 5
)

// TestMain is the server, or looks at what one left, if the environment says so.
func TestMain(m *testing.M) {
	path, look := os.Getenv(envPath), os.Getenv(envCheck)
	switch {
	case look != "":
		if err := checkFile(path, look); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	case path != "":
		os.Exit(serve(path))
	}
	os.Exit(m.Run())
}

// crashSchema has one counter, which every write raises, and one note for each.
func crashSchema() *spec.Schema {
	notes := storetest.Table("notes", value.Field{Name: "name", Type: typeText},
		value.Field{Name: "body", Type: value.Type{Kind: value.TypeText, Optional: true}})
	notes.Index = [][]spec.Key{{{Field: "name"}}}
	return &spec.Schema{Collections: []*spec.Table{notes,
		storetest.Table("counters", value.Field{Name: "n", Type: value.Type{Kind: value.TypeInt}}),
	}}
}

// counterID is the one counter.
const counterID ident.Record = "00000000000000000000000001"

// note is the write of the load: its key is its name.
func note(ctx context.Context, s *Store, name string) (journal.Entry, error) {
	o := journal.Origin{Call: ident.NewCall(), Operation: "notes.create", Key: name}
	return s.Write(ctx, o, func(tx store.Tx) error {
		c := value.NewRecord(s.Schema().Table("counters").Shape)
		c.Slots[spec.SlotID] = value.OfText(string(counterID))
		if _, err := tx.Get(ctx, "counters", counterID); fault.Is(err, fault.NotFound) {
			c.Set("n", value.OfInt(1))
		} else {
			c.Slots[spec.SlotVersion] = value.OfNull()
			c.Set("n", value.OfOp(value.OpAdd, value.OfInt(1)))
		}
		if _, err := tx.Put(ctx, "counters", c); err != nil {
			return err
		}
		n := value.NewRecord(s.Schema().Table("notes").Shape)
		n.Set("name", value.OfText(name))
		n, err := tx.Put(ctx, "notes", n)
		tx.Reply(n.Slots[spec.SlotID])
		return err
	})
}

// noteName is the n-th write of a worker.
func noteName(run string, worker, n int) string { return fmt.Sprintf("%s-%d-%d", run, worker, n) }

// serve opens the store and writes until it is killed or the store fails. It tells
// each acknowledged write in a line of its own.
func serve(path string) int {
	ctx := context.Background()
	begun := time.Now()
	s, err := Open(ctx, Config{Path: path, Unsafe: os.Getenv(envUnsafe) != ""})
	if err != nil {
		fmt.Println("open:", err)
		return exitOpen
	}
	if s.Schema().Table("notes") == nil {
		steps := storetest.Steps(crashSchema())
		if _, err := s.Apply(ctx, journal.Origin{Operation: "apply"}, steps, nil); err != nil {
			fmt.Println("apply:", err)
			return exitOpen
		}
	}
	fmt.Println("ready", time.Since(begun).Milliseconds())
	workers, err := strconv.Atoi(os.Getenv(envWorkers))
	if err != nil {
		fmt.Println("workers:", err)
		return exitOpen
	}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { work(ctx, s, os.Getenv(envRun), w) })
	}
	all.Wait()
	return exitFailed
}

// work writes one note after the other, each until it is acknowledged.
func work(ctx context.Context, s *Store, run string, worker int) {
	for n := 0; s.Failure() == nil; {
		name := noteName(run, worker, n)
		e, err := note(ctx, s, name)
		switch {
		case fault.Is(err, fault.Unavailable), fault.Is(err, fault.Unknown):
			if _, err := fmt.Println("failed", name, err); err != nil {
				os.Exit(exitTold)
			}
		case err != nil:
			fmt.Println("error", name, err)
			os.Exit(exitTold)
		default:
			id := e.Reply.Text()
			if e.Replayed {
				id = id[1 : len(id)-1]
			}
			if _, err := fmt.Println("ack", worker, n, id); err != nil {
				os.Exit(exitTold)
			}
			n++
		}
	}
}
