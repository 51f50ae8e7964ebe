package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/storetest"
)

const (
	// crashKills, crashWorkers and crashCuts say how often and how hard.
	crashKills   = 32
	crashWorkers = 8
	crashCuts    = 6
	// crashWait bounds each wait for a process.
	crashWait = 2 * time.Minute
	// openMax is how long the opening after a crash may take.
	openMax = 30 * time.Second
)

// TestNothingAcknowledgedIsLost crashes a process that writes: by SIGKILL at any
// moment, by a fault at a system call, and by a power cut.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	if testing.Short() {
		t.Log("the crashes are left out of a short run")
		return
	}
	bin := filepath.Join(t.TempDir(), "server")
	build := exec.Command("go", "test", "-c", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	for name, crash := range map[string]func(*testing.T, string){
		"Kill": killAtRandom, "SystemCalls": failSystemCalls, "PowerCut": cutPower,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait for disks and processes most of the time
			crash(t, bin)
		})
	}
}

// server is a process that writes.
type server struct {
	t    *testing.T
	cmd  *exec.Cmd
	run  string
	path string
	done chan struct{}
	err  error

	mu   sync.Mutex
	told *sync.Cond
	acks map[string]string // name of the note → its id
	next map[int]int       // worker → the write it is at
	tail []string
	end  bool
}

// start runs the server, behind a command before it if there is one.
func startServer(t *testing.T, path, run string, unsafe bool, command ...string) *server {
	t.Helper()
	s := &server{t: t, run: run, path: path, done: make(chan struct{}),
		acks: map[string]string{}, next: map[int]int{}}
	s.told = sync.NewCond(&s.mu)
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.Env = append(os.Environ(), envPath+"="+path, envRun+"="+run,
		fmt.Sprint(envWorkers, "=", crashWorkers))
	if unsafe {
		s.cmd.Env = append(s.cmd.Env, envUnsafe+"=1")
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	s.cmd.Stderr = &stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.signal(syscall.SIGKILL) })
	go func() {
		s.listen(out)
		s.err = s.cmd.Wait()
		s.mu.Lock()
		s.end = true
		s.tail = append(s.tail, strings.TrimSpace(stderr.String()))
		s.told.Broadcast()
		s.mu.Unlock()
		close(s.done)
	}()
	return s
}

// listen reads what the server tells. A line that was cut off tells nothing.
func (s *server) listen(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		s.mu.Lock()
		var worker, n int
		var id string
		if _, err := fmt.Sscanf(line, "ack %d %d %s", &worker, &n, &id); err == nil {
			s.acks[noteName(s.run, worker, n)] = id
			s.next[worker] = n + 1
		} else {
			s.tail = append(s.tail, strings.TrimSpace(line))
		}
		s.told.Broadcast()
		s.mu.Unlock()
	}
}

// until waits for a number of acknowledged writes, or the end of the process.
func (s *server) until(n int) {
	timer := time.AfterFunc(crashWait, func() {
		s.mu.Lock()
		s.end = true
		s.told.Broadcast()
		s.mu.Unlock()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.acks) < n && !s.end {
		s.told.Wait()
	}
}

// acknowledged returns what was told until now.
func (s *server) acknowledged() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.acks)
}

// open returns the names of the writes that the workers are at.
func (s *server) open() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for w := range crashWorkers {
		out = append(out, noteName(s.run, w, s.next[w]))
	}
	return out
}

// signal reaches the server and what stands before it: they are a group of their own.
func (s *server) signal(sig syscall.Signal) {
	// A process that has ended needs no signal.
	_ = syscall.Kill(-s.cmd.Process.Pid, sig)
}

// kill ends the server and waits for its end.
func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	select {
	case <-s.done:
	case <-time.After(crashWait):
		s.t.Fatalf("the server does not end")
	}
}

// looking is what is looked for after a crash.
type looking struct {
	Acks map[string]string
	Open []string
}

// check looks at what a crash left, in a process of its own, which is as fast as a
// server is.
func check(t *testing.T, bin, path string, acks map[string]string, open []string) error {
	t.Helper()
	text, err := json.Marshal(looking{acks, open})
	if err != nil {
		t.Fatal(err)
	}
	look := filepath.Join(t.TempDir(), "look.json")
	if err := os.WriteFile(look, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin)
	cmd.Env = append(os.Environ(), envPath+"="+path, envCheck+"="+look)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// checkFile is check in its own process.
func checkFile(path, look string) error {
	text, err := os.ReadFile(look)
	if err != nil {
		return err
	}
	var l looking
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	return left(path, l.Acks, l.Open)
}

// left opens what the crash left and says what of the promises does not hold: what
// was acknowledged is there, once; what was not has one effect when it is asked
// again; the journal makes the tables; the file is whole; the opening was quick.
func left(path string, acks map[string]string, open []string) error {
	ctx, stop := context.WithTimeout(context.Background(), crashWait)
	defer stop()
	begun := time.Now()
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	if took := time.Since(begun); took > openMax {
		return fmt.Errorf("the opening took %v", took)
	}
	if s.Schema().Table("notes") == nil {
		if len(acks) > 0 {
			return fmt.Errorf("all of %d acknowledged writes are lost", len(acks))
		}
		return nil
	}
	if err := storetest.Fold(ctx, s); err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	for name, id := range acks {
		e, err := note(ctx, s, name)
		if err != nil {
			return fmt.Errorf("replay of %s: %w", name, err)
		}
		if got := e.Reply.Text(); !e.Replayed || got != `"`+id+`"` {
			return fmt.Errorf("the acknowledged %s is lost: got %s, replayed %v", name, got,
				e.Replayed)
		}
	}
	for range 2 {
		for _, name := range open {
			if _, err := note(ctx, s, name); err != nil {
				return fmt.Errorf("retry of %s: %w", name, err)
			}
		}
	}
	if err := countNotes(ctx, s, acks, open); err != nil {
		return err
	}
	if err := storetest.Fold(ctx, s); err != nil {
		return fmt.Errorf("after the retries: %w", err)
	}
	return integrity(path)
}

// countNotes asks that each note is there once and that the counter has counted it.
func countNotes(ctx context.Context, s *Store, acks map[string]string, open []string) error {
	times := map[string]int{}
	var counted int64
	err := s.Read(ctx, func(v store.View) error {
		found, err := v.Find(ctx, query.Query{Plan: &query.Plan{From: "notes"}})
		if err != nil {
			return err
		}
		for _, r := range found {
			times[r.Get("name").Text()]++
		}
		c, err := v.Get(ctx, "counters", counterID)
		counted = c.Get("n").Int()
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(acks)), open) {
		if times[name] != 1 {
			return fmt.Errorf("%s has %d effects", name, times[name])
		}
	}
	for name, n := range times {
		if n != 1 {
			return fmt.Errorf("%s has %d effects", name, n)
		}
	}
	if counted != int64(len(times)) {
		return fmt.Errorf("%d notes were counted as %d", len(times), counted)
	}
	return nil
}

// integrity looks through the whole file.
func integrity(path string) error {
	c, err := (&dialect{path: path}).connect(false)
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := c.text("PRAGMA integrity_check")
	if err == nil && got != "ok" {
		err = fmt.Errorf("the file is damaged: %s", got)
	}
	return err
}

// killAtRandom kills one server after the other on the same file.
func killAtRandom(t *testing.T, bin string) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	path, acknowledged := "", 0
	for n := range crashKills {
		if n%8 == 0 {
			path = filepath.Join(t.TempDir(), "galley.db")
		}
		s := startServer(t, path, fmt.Sprint("kill", n), false, bin)
		// Some die in their opening, the others among their writes.
		if n%8 != 1 {
			s.until(1 + chance.IntN(300))
		}
		pause := time.NewTimer(time.Duration(chance.IntN(20_000)) * time.Microsecond)
		<-pause.C
		s.kill()
		acks := s.acknowledged()
		acknowledged += len(acks)
		if err := check(t, bin, path, acks, s.open()); err != nil {
			t.Fatalf("kill %d: %v\n%s", n, err, strings.Join(s.tail, "\n"))
		}
	}
	t.Logf("%d kills, %d acknowledged writes", crashKills, acknowledged)
	if acknowledged < 10*crashKills {
		t.Errorf("only %d writes were acknowledged: the load proves nothing", acknowledged)
	}
}

// point is a fault at the n-th of some system calls of a thread.
type point struct {
	calls, fault string
	n            int
}

func points() []point {
	var out []point
	for _, f := range []string{"signal=KILL", "error=EIO", "error=ENOSPC"} {
		for calls, ns := range map[string][]int{
			"fdatasync":                    {1, 2, 3, 4, 6, 9, 14},
			"pwrite64":                     {1, 2, 3, 5, 9, 17, 33, 65},
			"write":                        {2, 5, 14},
			"fsync":                        {1, 2},
			"ftruncate,fallocate":          {1, 2, 3},
			"unlinkat,renameat":            {1},
			"fdatasync,pwrite64,ftruncate": {7, 20, 41},
		} {
			for _, n := range ns {
				out = append(out, point{calls, f, n})
			}
		}
	}
	return out
}

// failSystemCalls lets system calls of the server fail.
func failSystemCalls(t *testing.T, bin string) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("strace is needed, which make setup installs: %v", err)
	}
	all, hit, acknowledged := points(), 0, 0
	for i, p := range all {
		path := filepath.Join(t.TempDir(), "galley.db")
		s := startServer(t, path, "call", false, strace, "-f", "-qq", "--seccomp-bpf",
			"-o", "/dev/null", "-e", "trace="+p.calls,
			fmt.Sprintf("--inject=%s:%s:when=%d", p.calls, p.fault, p.n), bin)
		s.until(150)
		s.mu.Lock()
		if s.end || strings.Contains(strings.Join(s.tail, "\n"), "failed") {
			hit++
		}
		s.mu.Unlock()
		s.kill()
		acks := s.acknowledged()
		acknowledged += len(acks)
		if err := check(t, bin, path, acks, s.open()); err != nil {
			t.Errorf("point %d, %s at %s #%d, %d acknowledged: %v\n%s", i, p.fault, p.calls, p.n,
				len(acks), err, strings.Join(s.tail, "\n"))
		}
	}
	t.Logf("%d points, %d of them met, %d acknowledged writes", len(all), hit, acknowledged)
	if hit < len(all)/2 || acknowledged < len(all) {
		t.Errorf("%d of %d points met, %d writes: they prove nothing", hit, len(all),
			acknowledged)
	}
}

// cutPower copies the disk of a server that writes, as it would be after a power cut.
// A server that does not flush must fail, or the cut proves nothing.
func cutPower(t *testing.T, bin string) {
	if os.Geteuid() != 0 || exec.Command("losetup", "-f").Run() != nil {
		if os.Getenv("GALLEY_TEST_POWERCUT") != "" {
			t.Fatal("a power cut needs root and loop devices")
		}
		t.Log("NOT RUN: a power cut needs root and loop devices; " +
			"set GALLEY_TEST_POWERCUT to make that an error")
		return
	}
	if lost := cuts(t, bin, false, crashCuts); len(lost) > 0 {
		t.Errorf("lost at %d of %d cuts: %v", len(lost), crashCuts, lost)
	}
	if lost := cuts(t, bin, true, 2); len(lost) == 0 {
		t.Errorf("a server that never flushes loses nothing: the cut is none")
	}
}

// cuts runs a server on a disk of its own and returns what was lost at each cut.
func cuts(t *testing.T, bin string, unsafe bool, n int) []error {
	t.Helper()
	dir := t.TempDir()
	must := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	mount := func(image, at, options string) {
		t.Helper()
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		loop := must("losetup", "-f", "--show", image)
		must("mount", "-o", options, loop, at)
	}
	unmount := func(at string) {
		loop, err := exec.Command("findmnt", "-n", "-o", "SOURCE", at).Output()
		if err != nil {
			return // it is not mounted
		}
		must("umount", at)
		must("losetup", "-d", strings.TrimSpace(string(loop)))
	}
	disk := filepath.Join(dir, "disk.img")
	live, dead := filepath.Join(dir, "live"), filepath.Join(dir, "dead")
	must("truncate", "-s", "48M", disk)
	must("mkfs.ext4", "-q", "-F", disk)
	mount(disk, live, "commit=600,noatime")
	t.Cleanup(func() { unmount(live) })
	s := startServer(t, filepath.Join(live, "galley.db"), "cut", unsafe, bin)
	var lost []error
	for i := range n {
		s.until((i + 1) * 400)
		acks := s.acknowledged()
		if len(acks) < (i+1)*400 {
			t.Fatalf("%d acknowledged writes: %v", len(acks), s.tail)
		}
		copied := filepath.Join(dir, fmt.Sprint("cut", i, ".img"))
		s.signal(syscall.SIGSTOP)
		must("cp", "--sparse=always", disk, copied)
		s.signal(syscall.SIGCONT)
		mount(copied, dead, "noatime")
		if err := check(t, bin, filepath.Join(dead, "galley.db"), acks, nil); err != nil {
			lost = append(lost, err)
		}
		unmount(dead)
		if err := os.Remove(copied); err != nil {
			t.Fatal(err)
		}
	}
	s.kill()
	return lost
}

// TestPowerCutNeedsFlush keeps the flaw of the test above honest: the two ways of
// opening differ in the flush alone.
func TestPowerCutNeedsFlush(t *testing.T) {
	safe, unsafe := (&dialect{}).pragmas(true), (&dialect{unsafe: true}).pragmas(true)
	for i := range safe {
		if i > 0 && safe[i] != unsafe[i] {
			t.Errorf("got %s and %s", safe[i], unsafe[i])
		}
	}
	if safe[0] != "PRAGMA synchronous=FULL" || unsafe[0] != "PRAGMA synchronous=OFF" {
		t.Errorf("got %s and %s", safe[0], unsafe[0])
	}
}
