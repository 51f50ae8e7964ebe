package job_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

// What a test tells the process that it starts to be killed.
const (
	envDatabase = "GALLEY_JOB_DATABASE"
	envEffects  = "GALLEY_JOB_EFFECTS"
	envStop     = "GALLEY_JOB_STOP"
	envWallet   = "GALLEY_JOB_WALLET"
)

// fastBeat is that of processes which are killed.
const fastBeat = 100 * time.Millisecond

// openURL opens a database by what names it: a URL, or the path of a file.
func openURL(ctx context.Context, url string) (database, bool, error) {
	if strings.HasPrefix(url, "postgres") {
		db, err := postgres.Open(ctx, postgres.Config{URL: url, Readers: 4})
		return db, true, err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: url, Unsafe: true})
	return db, false, err
}

// TestProcessToBeKilled is no test: it is the process that the others kill. It runs
// jobs whose every move is written into a file, and stands still where it shall die.
func TestProcessToBeKilled(t *testing.T) {
	url := os.Getenv(envDatabase)
	if url == "" {
		return
	}
	db, shared, err := openURL(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	effects, err := os.OpenFile(os.Getenv(envEffects), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stop, wallet := os.Getenv(envStop), ident.Record(os.Getenv(envWallet))
	at := func(place string) {
		if place == stop {
			fmt.Println("at", place)
			select {} // killed here
		}
	}
	note := func(name string) {
		if _, err := fmt.Fprintln(effects, name); err != nil {
			t.Error(err)
		}
	}
	step := func(ctx context.Context, s action.Steps, name string) error {
		at("before " + name)
		_, err := s.Step(ctx, name, func(context.Context, action.Step) (value.Value, error) {
			note(name + " of " + s.ID())
			at("in " + name)
			return value.OfText(name), nil
		})
		if err == nil {
			at("after " + name)
		}
		return err
	}
	pay := func(ctx context.Context, s action.Steps, name string) error {
		at("before " + name)
		_, err := s.Transaction(ctx, name, func(ctx context.Context, h action.Host) (
			value.Value, error) {
			v, err := credit(wallet, 1)(ctx, h)
			at("in " + name)
			return v, err
		})
		if err == nil {
			at("after " + name)
		}
		return err
	}
	kinds := map[string]*kind{"pay": {Job: spec.Job{Retry: 20}, run: func(ctx context.Context,
		_ value.Record, s action.Steps) (value.Value, error) {
		err := step(ctx, s, "one")
		if err == nil {
			err = pay(ctx, s, "first")
		}
		if err == nil {
			at("before rest")
			err = s.Sleep(ctx, "rest", time.Millisecond)
		}
		if err == nil {
			err = step(ctx, s, "two")
		}
		if err == nil {
			err = pay(ctx, s, "second")
		}
		at("end")
		return value.OfText("paid"), err
	}}}
	startWith(t, db, shared, kinds, nil, func(c *follow.Config) { c.Beat = fastBeat })
	fmt.Println("ready")
	// Until whoever started it is gone or has enough.
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
}

// victim is a process that runs jobs.
type victim struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

// run starts a process on the database, which stands still at a place.
func run(t *testing.T, url, effects, stop string, wallet ident.Record) *victim {
	t.Helper()
	v := &victim{cmd: exec.Command(os.Args[0], "-test.run=^TestProcessToBeKilled$")}
	v.cmd.Env = append(os.Environ(), envDatabase+"="+url, envEffects+"="+effects,
		envStop+"="+stop, envWallet+"="+string(wallet))
	v.cmd.Stderr = os.Stderr
	out, err := v.cmd.StdoutPipe()
	if err == nil {
		v.in, err = v.cmd.StdinPipe()
	}
	if err == nil {
		err = v.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	v.lines = bufio.NewScanner(out)
	return v
}

// hear waits for a line.
func (v *victim) hear(t *testing.T, line string) {
	t.Helper()
	late := time.AfterFunc(5*time.Minute, func() { _ = v.cmd.Process.Kill() })
	defer late.Stop()
	var heard []string
	for v.lines.Scan() {
		if heard = append(heard, v.lines.Text()); v.lines.Text() == line {
			return
		}
	}
	t.Fatalf("the process said %q and not %q", heard, line)
}

func (v *victim) kill(t *testing.T) {
	t.Helper()
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := v.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
}

// end has the process end by itself.
func (v *victim) end(t *testing.T) {
	t.Helper()
	if err := v.in.Close(); err != nil {
		t.Error(err)
	}
	for v.lines.Scan() {
	}
	if err := v.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// eachURL runs a test on both databases, which other processes can open.
func eachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "galley.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Shared(t).Database(t)) })
}

// prepared makes the database with a wallet, commits jobs, and returns the file in which
// processes note what they do.
func prepared(t *testing.T, url string, jobs int) (wallet ident.Record, ids []ident.Record,
	effects string) {
	t.Helper()
	db, shared, err := openURL(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, db, shared, nil, nil)
	wallet = n.open("ana", 0)
	n.close()
	if db, _, err = openURL(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	m := &node{t: t, db: db, ahead: n.ahead}
	ids = m.add("pay", slices.Repeat([]string{"null"}, jobs)...)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	effects = filepath.Join(t.TempDir(), "effects")
	if err := os.WriteFile(effects, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return wallet, ids, effects
}

// judge lets what is left come to its end and asks that each job was done, that its
// transactions were done once, and that no step ran more often than it may.
func judge(t *testing.T, url, effects string, wallet ident.Record, ids []ident.Record,
	again func(step string) int) {
	t.Helper()
	v := run(t, url, effects, "", wallet)
	v.hear(t, "ready")
	if strings.HasPrefix(url, "postgres") {
		look(t, url, wallet, ids)
		v.end(t)
	} else {
		await(t, effects, len(ids))
		v.end(t)
		look(t, url, wallet, ids)
	}
	text, err := os.ReadFile(effects)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, line := range strings.Fields(strings.ReplaceAll(string(text), " of ", "/")) {
		count[line]++
	}
	for _, id := range ids {
		for _, step := range []string{"one", "two"} {
			n := count[step+"/"+string(id)]
			if n < 1 || n > 1+again(step) {
				t.Errorf("the step %s of %s ran %d times", step, id, n)
			}
		}
	}
}

// await waits until the last step of each job ran.
func await(t *testing.T, effects string, jobs int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for {
		text, err := os.ReadFile(effects)
		if err != nil {
			t.Fatal(err)
		}
		done := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "two of ") {
				done[line] = true
			}
		}
		if len(done) == jobs {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d of %d jobs came to their last step", len(done), jobs)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// look asks that all jobs are done, or come to it, and what is in the wallet.
func look(t *testing.T, url string, wallet ident.Record, ids []ident.Record) {
	t.Helper()
	db, shared, err := openURL(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]*kind{}
	if !shared { // what was left when the process ended is done here
		kinds["pay"] = &kind{Job: spec.Job{Retry: 20}, run: func(ctx context.Context,
			_ value.Record, s action.Steps) (value.Value, error) {
			nothing := func(context.Context, action.Step) (value.Value, error) {
				return value.Value{}, errors.New("a step that ran is run again")
			}
			_, err := s.Step(ctx, "one", nothing)
			if err == nil {
				_, err = s.Transaction(ctx, "first", credit(wallet, 1))
			}
			if err == nil {
				err = s.Sleep(ctx, "rest", 0)
			}
			if err == nil {
				_, err = s.Step(ctx, "two", nothing)
			}
			if err == nil {
				_, err = s.Transaction(ctx, "second", credit(wallet, 1))
			}
			return value.OfText("paid"), err
		}}
	}
	n := start(t, db, shared, kinds, nil)
	for _, id := range ids {
		equal(t, "the result", string(n.await(id, job.Done, job.Failed).Result), `"paid"`)
	}
	equal(t, "the wallet", n.wallet(wallet), 2*len(ids))
	n.close()
}

// TestKilledAtEveryBoundary kills the process before, in and after each step: a step
// that ended is never run again, and none is left out.
func TestKilledAtEveryBoundary(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		wallet, ids, effects := prepared(t, url, 1)
		killed := map[string]int{}
		// One job goes through all of its deaths.
		for _, place := range []string{"before one", "in one", "after one", "before first",
			"in first", "after first", "before rest", "before two", "in two", "after two",
			"before second", "in second", "after second", "end"} {
			v := run(t, url, effects, place, wallet)
			v.hear(t, "at "+place)
			v.kill(t)
			if step, ok := strings.CutPrefix(place, "in "); ok {
				killed[step]++ // it ran, and nobody knows
			}
		}
		judge(t, url, effects, wallet, ids, func(step string) int { return killed[step] })
	})
}

// TestKilledAtAnyMoment kills processes under load at moments of chance.
func TestKilledAtAnyMoment(t *testing.T) {
	const kills, jobs = 6, 400
	eachURL(t, func(t *testing.T, url string) {
		wallet, ids, effects := prepared(t, url, jobs)
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		chance := rand.New(rand.NewPCG(seed, 0))
		for range kills {
			v := run(t, url, effects, "", wallet)
			v.hear(t, "ready")
			moment := time.NewTimer(time.Duration(chance.IntN(600)) * time.Millisecond)
			select {
			case <-moment.C:
			case <-t.Context().Done():
			}
			v.kill(t)
		}
		judge(t, url, effects, wallet, ids, func(string) int { return kills })
	})
}
