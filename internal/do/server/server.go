// Package server runs galley as a process of its own, for the chores and tests that need
// the real thing: built from the sources, on a port that the system chooses, and stopped by
// the one who started it.
package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// startTime bounds how long a server may take until it says where it listens, stopTime how
// long it may take to end, and talkMax how much of what it prints is kept.
const (
	startTime = time.Minute
	stopTime  = time.Minute
	talkMax   = 1 << 16
)

// Build makes the galley program at path from the sources in the folder root. What `go run`
// links it keeps, so that many tests link it once.
func Build(ctx context.Context, root, path string) error {
	cmd := exec.CommandContext(ctx, "go", "run", "-exec", "cp", "./cmd/galley", path)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build galley: %w\n%s", err, out)
	}
	return nil
}

// A Server serves an app from a data folder of its own. One goroutine uses it.
type Server struct {
	// Galley is the path of the program, App the folder of the app, Data that of its data.
	Galley, App, Data string
	// Database is the address of a database; "" means one in the data folder.
	Database string
	// Dev asks for galley dev, which fills the data from the app's seed, in place of serve.
	Dev bool
	// Env is added to the environment of the server and of its commands, NAME=value each.
	Env []string
	// Address is where it listens, such as http://127.0.0.1:40321, once it has started.
	Address string

	process *exec.Cmd
	ended   chan error
}

func (s *Server) args(args ...string) []string {
	args = append(args, "--app", s.App, "--data", s.Data)
	if s.Database != "" {
		args = append(args, "--database", s.Database)
	}
	return args
}

var listens = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// Start runs the server with rate limits off, and returns when it has said where it
// listens. What it printed is in the error if it ends before.
func (s *Server) Start(ctx context.Context) error {
	command := "serve"
	if s.Dev {
		command = "dev"
	}
	args := s.args(command, "--listen", "127.0.0.1:0", "--limits", "off")
	s.process = exec.Command(s.Galley, args...)
	s.process.Env = append(os.Environ(), s.Env...)
	out, in := io.Pipe()
	s.process.Stdout, s.process.Stderr = in, in
	if err := s.process.Start(); err != nil {
		return err
	}
	s.ended = make(chan error, 1)
	go func() {
		err := s.process.Wait()
		_ = in.Close() // a pipe in memory closes without fail
		s.ended <- err
	}()
	found, said := make(chan string, 1), make(chan string, 1)
	go listen(out, found, said)
	select {
	case s.Address = <-found:
		return nil
	case talk := <-said:
		return fmt.Errorf("galley ended before it listened: %w\n%s", s.wait(), talk)
	case <-time.After(startTime):
		return errors.Join(fmt.Errorf("galley named no address in %s", startTime), s.Stop())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Stop())
	}
}

// listen reads to the end, or the server would wait for its reader; it hands over the
// address when it comes by, and what was said when all is.
func listen(out io.Reader, found, said chan<- string) {
	var talk strings.Builder
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if talk.Len() < talkMax {
			talk.WriteString(line)
		}
		if address := listens.FindString(line); address != "" {
			select {
			case found <- address:
			default: // it was found before
			}
		}
		if err != nil {
			said <- talk.String()
			return
		}
	}
}

func (s *Server) wait() error {
	err := <-s.ended
	s.ended <- err
	return err
}

// Stop ends the server and returns how it ended: nil if it went as asked.
func (s *Server) Stop() error {
	// A process that is gone already has nothing left to stop.
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.ended:
		s.ended <- err
		if err != nil {
			return fmt.Errorf("galley ended: %w", err)
		}
		return nil
	case <-time.After(stopTime):
		_ = s.process.Process.Kill() // the error below says that it was not gone
		return fmt.Errorf("galley did not end in %s", stopTime)
	}
}

// Kill ends the server at once, as a power cut would, and waits until it is gone.
func (s *Server) Kill() error {
	if err := s.process.Process.Kill(); err != nil {
		return err
	}
	_ = s.wait() // a process that was killed never ends well
	return nil
}

// Run runs another command on the same app and data, and returns what it printed.
func (s *Server) Run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.Galley, s.args(args...)...)
	cmd.Env = append(os.Environ(), s.Env...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("galley %v: %w\n%s%s", args, err, talk.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}
