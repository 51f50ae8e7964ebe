// Package process runs the servers that are measured as child processes: it starts one,
// waits for its first answer, reads what it uses, and ends it.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/galleybackend/galley/bench/load"
)

const (
	// startTime is how long a server may take to print its address and to answer.
	startTime = 30 * time.Second
	// stopTime is how long a server may take to end when it is asked to.
	stopTime = 10 * time.Second
	// pollTime is how often a starting server is looked at.
	pollTime = 500 * time.Microsecond
)

var address = regexp.MustCompile(`http://(127\.0\.0\.1:\d+)`)

// Server is a running child process that answers on Addr.
type Server struct {
	Addr string
	// Took is the time from its start to the first 200.
	Took time.Duration

	log   string
	cmd   *exec.Cmd
	ended chan error
}

// Start runs the command, waits for the line that holds its address and then for a 200
// to the request that ask makes for it. What it prints goes to the file log.
func Start(ctx context.Context, cmd *exec.Cmd, log string,
	ask func(addr string) []byte,
) (*Server, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	s := &Server{cmd: cmd, log: log, ended: make(chan error, 1)}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- cmd.Wait() }()
	for {
		if err := s.answers(ctx, ask); err == nil {
			s.Took = time.Since(begin)
			return s, nil
		} else if time.Since(begin) > startTime || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("no 200 within %v: %w", startTime, err), s.Stop())
		}
		select {
		case err := <-s.ended:
			return nil, fmt.Errorf("%s ended: %v\n%s", filepath.Base(cmd.Path), err, tail(log))
		case <-time.After(pollTime):
		}
	}
}

func (s *Server) answers(ctx context.Context, ask func(addr string) []byte) error {
	if s.Addr == "" {
		text, err := os.ReadFile(s.log)
		if err != nil {
			return err
		}
		found := address.FindSubmatch(text)
		if found == nil || !bytes.Contains(text[bytes.Index(text, found[0]):], []byte("\n")) {
			return errors.New("no address printed")
		}
		s.Addr = string(found[1])
	}
	status, body, err := load.Once(ctx, s.Addr, ask(s.Addr))
	if err == nil && status != 200 {
		err = fmt.Errorf("status %d: %.200s", status, body)
	}
	return err
}

// Stop ends the process, by force when it does not end by itself.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil // it has ended
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(stopTime):
		err := s.cmd.Process.Kill()
		<-s.ended
		return errors.Join(fmt.Errorf("%s did not end in %v", s.cmd.Path, stopTime), err)
	}
}

// Kill ends the process at once, as a crash would, and waits for its end.
func (s *Server) Kill() error {
	err := s.cmd.Process.Kill()
	<-s.ended
	return err
}

// Memory returns what the process holds now and has held at most, in MB of 10⁶ bytes.
func (s *Server) Memory() (now, most float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch name {
		case "VmRSS":
			now = kb * 1024 / 1e6
		case "VmHWM":
			most = kb * 1024 / 1e6
		}
	}
	return now, most
}

// CPU returns the processor time that the process has used.
func (s *Server) CPU() time.Duration {
	used, _ := stat(strconv.Itoa(s.cmd.Process.Pid))
	return used
}

// FamilyCPU returns the processor time that a process and its children have used, those
// of them included that have ended.
func FamilyCPU(pid int) time.Duration {
	all, _ := filepath.Glob("/proc/[0-9]*")
	var sum time.Duration
	for _, dir := range all {
		name := filepath.Base(dir)
		if used, parent := stat(name); name == strconv.Itoa(pid) || parent == pid {
			sum += used
		}
	}
	return sum
}

// stat returns the processor time of a process with that of the children that it has
// waited for, and its parent; zero for one that is gone.
func stat(pid string) (used time.Duration, parent int) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, 0
	}
	// The parent is field 4, the times are fields 14 to 17; field 2 may hold blanks and
	// ends in ')'.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const clockTick = 10 * time.Millisecond
	for _, f := range fields[11:15] {
		ticks, _ := strconv.ParseInt(f, 10, 64)
		used += time.Duration(ticks) * clockTick
	}
	parent, _ = strconv.Atoi(fields[1])
	return used, parent
}

// tailMax bounds what is shown of an output: its end says why.
const tailMax = 1500

// tail returns the last lines of a log.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-tailMax):])
}

// Run runs a command to its end; its output is in the error.
func Run(ctx context.Context, cmd string, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, cmd, args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		text := append(errs.Bytes(), out.Bytes()...)
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(cmd), strings.Join(args, " "), err,
			text[max(0, len(text)-tailMax):])
	}
	return out.Bytes(), nil
}
