package observe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Bounds of what is kept of requests.
const (
	// journeyFlush is how long a journey may wait before it is written.
	journeyFlush = 250 * time.Millisecond
	// The greatest numbers of journeys that wait, of those kept longer and of
	// others; while more come, the oldest that wait are dropped.
	keptWait, plainWait = 1024, 256
	// The greatest size of a file of each, in bytes; there are two files of each.
	keptSize, plainSize = 4 << 20, 1 << 20
	// journeyMax is the greatest size of one journey, treeMax of one rule's tree, in
	// bytes, and listMax the greatest number of its rules and of its log lines.
	journeyMax, treeMax, listMax = 64 << 10, 8 << 10, 100
	// textKept is the greatest room that is kept for writing more, in bytes.
	textKept = 1 << 20
)

// Journey is the story of one request, as it is kept.
type Journey struct {
	ID        string         `json:"id"`
	At        time.Time      `json:"at"`
	Door      string         `json:"door,omitempty"`
	Method    string         `json:"method"`
	Path      string         `json:"path"`
	Status    int            `json:"status"`
	Took      time.Duration  `json:"took"`
	Who       string         `json:"who,omitempty"`
	Operation string         `json:"operation,omitempty"`
	Outcome   string         `json:"outcome"`
	Code      string         `json:"code,omitempty"`
	Writes    int            `json:"writes,omitempty"`
	Trace     string         `json:"trace,omitempty"`
	Stages    []JourneyStage `json:"stages,omitempty"`
	Rules     []JourneyRule  `json:"rules,omitempty"`
	Findings  []string       `json:"findings,omitempty"`
	Logs      []string       `json:"logs,omitempty"`
	Cause     string         `json:"cause,omitempty"`
}

// JourneyStage is a stage with its time.
type JourneyStage struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
}

// JourneyRule is a rule that was asked: its name, its place, its verdict, whether it was
// part of a query, and the tree of its values.
type JourneyRule struct {
	Rule  string `json:"rule"`
	Place string `json:"place,omitempty"`
	Yes   bool   `json:"yes"`
	Query bool   `json:"query,omitempty"`
	Tree  string `json:"tree,omitempty"`
}

// Journeys keeps the journeys of the last requests in files of a folder, bounded in
// number and size; refusals and failures stay longer than what went well. One
// process writes, by Run; any may read. It is safe for concurrent use.
type Journeys struct {
	dir  string
	mask *Mask

	mu    sync.Mutex
	ended bool
	kept  ring
	plain ring
	wake  chan chan error
	// text is the room in which Run writes.
	text bytes.Buffer
}

// ring holds the newest calls.
type ring struct {
	calls []*Call
	next  int
	most  int
}

func (r *ring) add(c *Call) {
	if len(r.calls) < r.most {
		r.calls = append(r.calls, c)
		return
	}
	r.calls[r.next] = c
	r.next = (r.next + 1) % r.most
}

// take returns the calls in their order and empties the ring.
func (r *ring) take() []*Call {
	out := append(slices.Clone(r.calls[r.next:]), r.calls[:r.next]...)
	clear(r.calls)
	r.calls, r.next = r.calls[:0], 0
	return out
}

// OpenJourneys returns the journeys kept in a folder, which need not be there yet.
func OpenJourneys(dir string) *Journeys {
	return &Journeys{dir: dir, wake: make(chan chan error),
		kept: ring{most: keptWait}, plain: ring{most: plainWait}}
}

// take keeps a call until Run, which may not have begun yet, writes it.
func (j *Journeys) take(c *Call) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.ended:
	case c.Status >= 400:
		j.kept.add(c)
	case c.Operation != "":
		j.plain.add(c)
	}
}

// Run writes journeys until ctx ends, and then those that wait. It returns the error
// that stopped it; journeys are lost then, and nothing else.
func (j *Journeys) Run(ctx context.Context) error {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of journeys: %w", err)
	}
	j.end(false)
	defer j.end(true)
	tick := time.NewTicker(journeyFlush)
	defer tick.Stop()
	for {
		var asked chan error
		select {
		case <-tick.C:
		case asked = <-j.wake:
		case <-ctx.Done():
			return j.write()
		}
		err := j.write()
		if asked != nil {
			asked <- err
		}
		if err != nil {
			return err
		}
	}
}

func (j *Journeys) end(yes bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = yes
}

// Flush has Run write what waits, and returns when it is written.
func (j *Journeys) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case j.wake <- done:
		return <-done
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *Journeys) write() error {
	j.mu.Lock()
	kept, plain := j.kept.take(), j.plain.take()
	j.mu.Unlock()
	return errors.Join(j.append("kept", keptSize, kept), j.append("plain", plainSize, plain))
}

func (j *Journeys) file(name, suffix string) string {
	return filepath.Join(j.dir, name+suffix+".jsonl")
}

// append adds calls to a file, after it was set aside if it is full.
func (j *Journeys) append(name string, most int64, calls []*Call) error {
	if len(calls) == 0 {
		return nil
	}
	path := j.file(name, "")
	if info, err := os.Stat(path); err == nil && info.Size() >= most {
		if err := os.Rename(path, j.file(name, "-old")); err != nil {
			return fmt.Errorf("set journeys aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the file of journeys: %w", err)
	}
	// A line that a killed process left unfinished ends here.
	j.text.Reset()
	j.text.WriteByte('\n')
	lines := json.NewEncoder(&j.text)
	for _, c := range calls {
		start := j.text.Len()
		if err := lines.Encode(c.journey()); err != nil || j.text.Len()-start > journeyMax {
			j.text.Truncate(start)
			continue
		}
		if line := j.text.Bytes()[start:]; j.mask.Holds(line) {
			line = j.mask.Bytes(line)
			j.text.Truncate(start)
			j.text.Write(line)
		}
	}
	_, err = f.Write(j.text.Bytes())
	if j.text.Cap() > textKept {
		j.text = bytes.Buffer{}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write journeys: %w", err)
	}
	return nil
}

// journey is what is kept of a call.
func (c *Call) journey() Journey {
	j := Journey{ID: c.ID, At: c.Started.UTC(), Door: c.Door, Method: c.Method, Path: short(c.Path, 512),
		Status: c.Status, Took: c.Took, Who: c.Who, Operation: c.Operation, Outcome: c.Outcome,
		Code: c.Code, Writes: c.Writes, Trace: c.Trace, Findings: c.Findings}
	for _, s := range c.Stages {
		j.Stages = append(j.Stages, JourneyStage(s))
	}
	room := journeyMax / 2
	for _, r := range c.Rules[:min(len(c.Rules), listMax)] {
		rule := JourneyRule{Rule: r.Rule, Place: r.Place, Yes: r.Yes, Query: r.Query}
		if r.Explain != nil && room > 0 {
			rule.Tree = short(r.Explain(), min(treeMax, room))
			room -= len(rule.Tree)
		}
		j.Rules = append(j.Rules, rule)
	}
	for _, l := range c.Logs[:min(len(c.Logs), listMax)] {
		if l = short(l, min(treeMax, room)); l != "" {
			j.Logs = append(j.Logs, l)
			room -= len(l)
		}
	}
	if c.Cause != nil {
		j.Cause = short(c.Cause.Error(), treeMax)
	}
	return j
}

// short cuts a text to most bytes.
func short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	if most < 4 {
		return ""
	}
	return text[:most-3] + "…"
}

// ErrJourney is what Find returns for a request that is not kept, or no longer.
var ErrJourney = errors.New("no journey of this request is kept")

// Find returns the journey of a request, by its id or by the beginning of it. What
// waits to be written is not found yet.
func (j *Journeys) Find(id string) (Journey, error) {
	var found []Journey
	err := j.scan(func(line []byte) {
		if rest, ok := bytes.CutPrefix(line, []byte(`{"id":"`)); ok && bytes.HasPrefix(rest, []byte(id)) {
			var one Journey
			if json.Unmarshal(line, &one) == nil {
				found = append(found, one)
			}
		}
	})
	switch {
	case err != nil:
		return Journey{}, err
	case len(found) == 0 || id == "":
		return Journey{}, ErrJourney
	case len(found) > 1 && found[0].ID != found[len(found)-1].ID:
		return Journey{}, fmt.Errorf("%d requests begin with %s", len(found), id)
	}
	return found[len(found)-1], nil
}

// Await is Find for a request that may have ended just now: it looks until whatever
// waited when it was called must have been written, also where the machine is busy.
func (j *Journeys) Await(ctx context.Context, id string) (Journey, error) {
	ctx, cancel := context.WithTimeout(ctx, 8*journeyFlush)
	defer cancel()
	tick := time.NewTicker(journeyFlush / 10)
	defer tick.Stop()
	for {
		one, err := j.Find(id)
		if !errors.Is(err, ErrJourney) {
			return one, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return j.Find(id)
		}
	}
}

// Recent returns the last journeys, at most most, the newest last.
func (j *Journeys) Recent(most int) ([]Journey, error) {
	var all []Journey
	err := j.scan(func(line []byte) {
		var one Journey
		if json.Unmarshal(line, &one) == nil {
			all = append(all, one)
		}
	})
	slices.SortStableFunc(all, func(a, b Journey) int { return a.At.Compare(b.At) })
	if len(all) > most {
		all = all[len(all)-most:]
	}
	return all, err
}

// scan calls fn with each line of all files.
func (j *Journeys) scan(fn func(line []byte)) error {
	for _, name := range []string{"kept", "plain"} {
		for _, suffix := range []string{"-old", ""} {
			f, err := os.Open(j.file(name, suffix))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read journeys: %w", err)
			}
			lines := bufio.NewScanner(f)
			lines.Buffer(nil, journeyMax+1)
			for lines.Scan() {
				if len(lines.Bytes()) > 0 {
					fn(lines.Bytes())
				}
			}
			if err := errors.Join(lines.Err(), f.Close()); err != nil {
				return fmt.Errorf("read journeys: %w", err)
			}
		}
	}
	return nil
}
