package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/galleybackend/galley/internal/observe"
)

// seen is a call that went through the whole line.
func seen(o *observe.Observer, id string, status int) *observe.Call {
	c := o.Call(id)
	c.Method, c.Path, c.Status = "POST", "/api/actions/checkout", status
	c.Operation, c.Who = "actions.checkout", "users/01k"
	c.Begin("authenticate")
	c.Begin("perform")
	return c
}

// running starts the journeys of a folder and returns them with a way to stop them.
func running(t *testing.T, dir string) (*observe.Journeys, func()) {
	t.Helper()
	j := observe.OpenJourneys(dir)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return j, stop
}

func TestDoneLogsOneLineWithStages(t *testing.T) {
	var out bytes.Buffer
	o := observe.New(observe.Config{Log: &out})
	c := seen(o, "01k9vq3m8d000000", 409)
	c.Code, c.Outcome = "insufficient_funds", observe.Refused
	o.Done(c)
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Fatalf("%d lines, want 1:\n%s", n, out.String())
	}
	var line struct {
		Request, Operation, Outcome, Code, Who string
		Status                                 int
		Stages                                 map[string]float64
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.Request != "01k9vq3m8d000000" || line.Status != 409 ||
		line.Outcome != "refused" || line.Code != "insufficient_funds" || line.Who != "users/01k" {
		t.Errorf("the line says %+v", line)
	}
	if _, ok := line.Stages["perform"]; !ok || len(line.Stages) != 2 {
		t.Errorf("stages are %v, want authenticate and perform", line.Stages)
	}
}

func TestNobodyObservesIsHarmless(t *testing.T) {
	var o *observe.Observer
	c := seen(o, "x", 200)
	o.Done(c)
	var none *observe.Call
	none.Begin("x")
	none.Asked(observe.Verdict{})
	none.Limited(observe.Limit{})
	none.End()
}

func TestTerminalWritesTheDevelopersLine(t *testing.T) {
	var out bytes.Buffer
	o := observe.New(observe.Config{Terminal: observe.NewTerminal(&out, false)})
	c := seen(o, "01k9vq3k1c000000", 200)
	c.Name, c.Writes = "ana@example.com", 5
	o.Done(c)
	line := out.String()
	for _, want := range []string{"  POST /api/actions/checkout ", " 200 ",
		" ms  ana@example.com  5 writes",
		"01k9vq3k1c000000\n"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %q", want, line)
		}
	}
	// A later call for which nobody read the person is shown by the name, too.
	out.Reset()
	c = seen(o, "01k9vq3k1c000001", 200)
	o.Done(c)
	if !strings.Contains(out.String(), " ms  ana@example.com  ") {
		t.Errorf("%q does not name who asks", out.String())
	}
	out.Reset()
	c = o.Call("x")
	c.Method, c.Path, c.Status = "GET", "/\x1b[2J/\u009b31m", 404
	o.Done(c)
	if strings.ContainsAny(out.String(), "\x1b\u009b") {
		t.Errorf("a path steers the terminal: %q", out.String())
	}
}

func TestMetricsCountByOperationAndOutcome(t *testing.T) {
	m := observe.NewMetrics()
	o := observe.New(observe.Config{Metrics: m})
	for range 3 {
		c := seen(o, "x", 200)
		c.Outcome = observe.Committed
		o.Done(c)
	}
	for i := range 100 { // names that do not exist make no series
		c := seen(o, "x", 404)
		c.Operation = fmt.Sprintf("guess%d.list", i)
		o.Done(c)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{
		`galley_calls_total{operation="actions.checkout",outcome="committed"} 3`,
		`galley_calls_total{operation="none",outcome="denied"} 100`,
		"galley_call_seconds_bucket", "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not among the metrics", want)
		}
	}
	if strings.Contains(text, "guess1") {
		t.Error("a guessed name became a series")
	}
}

func TestJourneysAreFoundByAnotherReader(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journeys")
	j, stop := running(t, dir)
	o := observe.New(observe.Config{Journeys: j})
	c := seen(o, "01k9vq3r7t000000", 403)
	c.Asked(observe.Verdict{Rule: "cards.allow.update", Place: "galley.yaml:68",
		Explain: func() string { return "✗ m.role != \"viewer\"   false" }})
	c.Asked(observe.Verdict{Rule: "cards.allow.read", Yes: true, Query: true})
	for range 30 {
		c.Found("#/" + strings.Repeat("x", 500))
	}
	c.Cause = errors.New("why")
	o.Done(c)
	stop() // what waits is written before Run ends

	got, err := observe.OpenJourneys(dir).Find("01k9vq3r")
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != 403 || len(got.Rules) != 2 || !got.Rules[1].Query ||
		len(got.Findings) != 20 || len(got.Findings[0]) > 256 ||
		got.Rules[0].Tree != `✗ m.role != "viewer"   false` ||
		len(got.Stages) != 2 || got.Cause != "why" {
		t.Errorf("got %+v", got)
	}
	if _, err := j.Find("01k9nothing"); !errors.Is(err, observe.ErrJourney) {
		t.Errorf("got %v, want ErrJourney", err)
	}
}

// A command may have asked, and be at its end, before its journeys are written by anybody.
func TestWhatCameBeforeJourneysAreWrittenIsKept(t *testing.T) {
	j := observe.OpenJourneys(t.TempDir())
	observe.New(observe.Config{Journeys: j}).Done(seen(nil, "early00000000000", 409))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Find("early"); err != nil {
		t.Error(err)
	}
}

func TestAwaitFindsWhatIsNotWrittenYet(t *testing.T) { synctest.Test(t, awaitFinds) }

func awaitFinds(t *testing.T) {
	j, _ := running(t, t.TempDir())
	o := observe.New(observe.Config{Journeys: j})
	o.Done(seen(o, "justnow000000000", 200))
	if got, err := j.Await(t.Context(), "justnow"); err != nil || got.Status != 200 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := j.Await(t.Context(), "never"); !errors.Is(err, observe.ErrJourney) {
		t.Errorf("got %v, want ErrJourney", err)
	}
}

func TestJourneysAreBoundedAndRefusalsStayLonger(t *testing.T) {
	dir := t.TempDir()
	j, _ := running(t, dir)
	o := observe.New(observe.Config{Journeys: j})
	refused := seen(o, "refused000000000", 409)
	o.Done(refused)
	long := strings.Repeat("x", 1<<20)
	for i := range 2000 {
		c := seen(o, fmt.Sprintf("read%012d", i), 200)
		c.Logs = []string{long}
		o.Done(c)
		if i%100 == 99 {
			if err := j.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	var size int64
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 12<<20 {
		t.Errorf("%d bytes are kept", size)
	}
	if _, err := j.Find("refused000000000"); err != nil {
		t.Errorf("the refusal is gone: %v", err)
	}
	if _, err := j.Find("read000000001999"); err != nil {
		t.Errorf("the newest read is gone: %v", err)
	}
	if _, err := j.Find("read000000000000"); !errors.Is(err, observe.ErrJourney) {
		t.Errorf("the oldest read: %v, want ErrJourney", err)
	}
}

func TestJourneysSurviveALineCutShort(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kept.jsonl"), []byte(`{"id":"half`),
		0o600); err != nil {
		t.Fatal(err)
	}
	j, _ := running(t, dir)
	o := observe.New(observe.Config{Journeys: j})
	o.Done(seen(o, "whole00000000000", 409))
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := j.Recent(10)
	if err != nil || len(list) != 1 || list[0].ID != "whole00000000000" {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestDoneNeverWaitsForJourneys(t *testing.T) {
	j := observe.OpenJourneys(t.TempDir()) // nobody runs it
	o := observe.New(observe.Config{Journeys: j})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				o.Done(seen(o, "x", 409))
			}
		})
	}
	all.Wait()
}

func BenchmarkDone(b *testing.B) {
	buffer := observe.NewBuffer(io.Discard)
	o := observe.New(observe.Config{Log: buffer,
		Metrics: observe.NewMetrics(), Journeys: observe.OpenJourneys(b.TempDir())})
	b.ReportAllocs()
	for b.Loop() {
		c := seen(o, "01k9vq3m8d000000", 200)
		c.Outcome = observe.Read
		c.Took = time.Millisecond
		o.Done(c)
	}
}
