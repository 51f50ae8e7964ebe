package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// keeper is an engine that keeps what it is sent by its key, as the store does, and
// fails before the call whose number is failAt. If slow is not 0, it has no time for more
// operations than that.
type keeper struct {
	failAt, calls int
	slow          int
	kept          map[string]int
	lines         map[string]int
	salt          int
}

func (k *keeper) Execute(_ context.Context, c engine.Call) (engine.Reply, error) {
	k.calls++
	if k.calls == k.failAt {
		return engine.Reply{}, fault.New(fault.Unavailable, "The disk is full.")
	}
	if k.slow > 0 && len(c.Batch) > k.slow {
		return engine.Reply{}, fault.New(fault.Timeout, "The call ran out of time.")
	}
	if c.Key == "" {
		return engine.Reply{}, errors.New("a write without a key")
	}
	if salt, ok := k.kept[c.Key]; ok {
		if salt != k.salt && strings.HasSuffix(c.Key, "-password") {
			return engine.Reply{}, fault.WithCode(fault.Invalid, "idempotency_key_reused", "Reused.")
		}
		return engine.Reply{Replayed: true}, nil
	}
	for _, x := range c.Batch {
		if strings.Contains(string(x.Body), "refused") {
			return engine.Reply{}, fault.WithCode(fault.Refused, "no_such_thing", "No.")
		}
	}
	k.kept[c.Key] = k.salt
	for _, x := range c.Batch {
		k.lines[string(x.Body)]++
	}
	return engine.Reply{}, nil
}

func newKeeper() *keeper { return &keeper{kept: map[string]int{}, lines: map[string]int{}} }

func things() *value.Shape {
	return value.NewShape("things", []value.Field{
		{Name: "id", Type: value.Type{Kind: value.TypeID, Optional: true}},
		{Name: "name", Type: value.Type{Kind: value.TypeString}},
	})
}

func file(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"name":"n%d"}`+"\n", i)
	}
	return b.String()
}

// TestImportGoesOnWhereItWas fails an import at each of its writes and runs it again.
func TestImportGoesOnWhereItWas(t *testing.T) {
	const lines = 3*groupMax + 7
	for failAt := 1; failAt <= 4; failAt++ {
		k := newKeeper()
		k.failAt = failAt
		job := Import{Collection: "things", Shape: things(), Format: JSONLines, Engine: k}
		// The group that failed is tried line by line, which fails it for good only if
		// the store still cannot write.
		res, err := job.Run(t.Context(), strings.NewReader(file(lines)))
		if err == nil && res.Done != lines {
			t.Fatalf("failed at %d: %d done without an error", failAt, res.Done)
		}
		res, err = job.Run(t.Context(), strings.NewReader(file(lines)))
		if err != nil || res.Done != lines {
			t.Fatalf("failed at %d, run again: %d done, %v", failAt, res.Done, err)
		}
		if len(k.lines) != lines {
			t.Errorf("failed at %d: %d lines were written, want %d", failAt, len(k.lines), lines)
		}
		for body, n := range k.lines {
			if n != 1 {
				t.Errorf("failed at %d: %s was written %d times", failAt, body, n)
			}
		}
	}
}

// TestWhatTakesTooLongIsWrittenInLess gives an engine little time, and then none.
func TestWhatTakesTooLongIsWrittenInLess(t *testing.T) {
	const lines = groupMax + 7
	k := newKeeper()
	k.slow = 40
	job := Import{Collection: "things", Shape: things(), Format: JSONLines, Engine: k}
	res, err := job.Run(t.Context(), strings.NewReader(file(lines)))
	if err != nil || res.Done != lines || len(k.lines) != lines {
		t.Errorf("%d done, %d lines were written, %v; want %d", res.Done, len(k.lines), err, lines)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k = newKeeper()
	k.slow = 1
	job.Engine = k
	if res, err = job.Run(ctx, strings.NewReader(file(lines))); err == nil || k.calls != 1 {
		t.Errorf("broken off, it made %d calls: %v", k.calls, err)
	}
}

func TestOneRefusedLineKeepsNoOtherOut(t *testing.T) {
	k := newKeeper()
	job := Import{Collection: "things", Shape: things(), Format: JSONLines, Engine: k}
	text := file(10) + `{"name":"refused"}` + "\n" + file(1)
	res, err := job.Run(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if res.Done != 11 || res.WrongAll != 1 || res.Wrong[0].Line != 11 ||
		res.Wrong[0].Code != "no_such_thing" {
		t.Errorf("got %+v", res)
	}
}

// TestPasswordsAreWrittenOnceWhateverTheirSalt runs an import of people twice, with
// salts that differ.
func TestPasswordsAreWrittenOnceWhateverTheirSalt(t *testing.T) {
	k := newKeeper()
	users := map[ident.Record]bool{}
	job := Import{Collection: "users", Shape: things(), Format: JSONLines, Engine: k,
		Password: func(_ context.Context, user ident.Record, password string) ([]engine.Call, error) {
			users[user] = true
			body := fmt.Sprintf(`{"user":%q,"hash":"%s salted %d"}`, user, password, k.salt)
			return []engine.Call{{Verb: engine.Create, Target: "_passwords", Body: []byte(body)}}, nil
		}}
	text := `{"name":"ana","password":"one"}` + "\n" + `{"name":"bo"}` + "\n"
	for range 2 {
		k.salt++
		res, err := job.Run(t.Context(), strings.NewReader(text))
		if err != nil || res.Done != 2 || res.WrongAll != 0 {
			t.Fatalf("got %+v, %v", res, err)
		}
	}
	if len(k.lines) != 3 || len(users) != 1 {
		t.Errorf("%d writes for %d people with a password, want 3 for 1: %v", len(k.lines),
			len(users), k.lines)
	}
	for body := range k.lines {
		if strings.Contains(body, `"password"`) {
			t.Errorf("a password went into a record: %s", body)
		}
	}
}

func TestCheckReadsTheWholeFileAndTellsEachWrongLine(t *testing.T) {
	job := Import{Collection: "things", Shape: things(), Format: JSONLines}
	res, err := job.Check(strings.NewReader("\xef\xbb\xbf" + `{"name":"a"}` + "\r\n\n" +
		`{"nam":"b"}` + "\n{\n" + `{"name":"c","created":"2026-11-21T08:00:00Z","version":3}` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if res.Done != 4 || res.WrongAll != 2 || res.Wrong[0].Line != 3 || res.Wrong[1].Line != 4 {
		t.Errorf("got %+v", res)
	}
	long := `{"name":"` + strings.Repeat("x", lineMax) + `"}`
	if _, err := job.Check(strings.NewReader("\n" + long)); err == nil ||
		!strings.Contains(err.Error(), "line 2 is longer than") {
		t.Errorf("a line that is too long: %v", err)
	}
}
