package main

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
	"syscall"
	"time"
)

// startTime bounds how long a shop may take until it says where it listens, stopTime how
// long it may take to end.
const (
	startTime = time.Minute
	stopTime  = 20 * time.Second
)

// A shop is a galley that serves an app from a folder of its own.
type shop struct {
	galley, app, data string
	// address is where it listens, once it has started.
	address string
	process *exec.Cmd
	ended   chan error
}

func buildGalley(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "./cmd/galley")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build galley: %w", err)
	}
	return nil
}

func (s *shop) args(args ...string) []string {
	return append(args, "--app", s.app, "--data", s.data)
}

var listens = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// start runs the server and returns when it has said where it listens.
func (s *shop) start(ctx context.Context) error {
	args := s.args("serve", "--listen", "127.0.0.1:0", "--limits", "off")
	s.process = exec.Command(s.galley, args...)
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
	found := make(chan string, 1)
	said := make(chan string, 1)
	go func() {
		// The pipe is read to its end, or the server would wait for its reader.
		var talk bytes.Buffer
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if talk.Len() < 1<<16 {
				talk.WriteString(line)
			}
			if address := listens.FindString(line); address != "" {
				select {
				case found <- address:
				default:
				}
			}
			if err != nil {
				said <- talk.String()
				return
			}
		}
	}()
	select {
	case s.address = <-found:
		return nil
	case err := <-s.ended:
		s.ended <- err
		return fmt.Errorf("galley serve ended: %v\n%s", err, <-said)
	case <-time.After(startTime):
		return errors.Join(fmt.Errorf("galley serve named no address in %s", startTime), s.stop())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.stop())
	}
}

// stop ends the server and says how it ended.
func (s *shop) stop() error {
	// A process that is gone already has nothing left to stop.
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.ended:
		s.ended <- err
		if err != nil {
			return fmt.Errorf("galley serve: %w", err)
		}
		return nil
	case <-time.After(stopTime):
		_ = s.process.Process.Kill() // it is named in the error below
		return fmt.Errorf("galley serve did not end in %s", stopTime)
	}
}

// run runs another command on the same app and data, and returns what it printed.
func (s *shop) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.galley, s.args(args...)...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("galley %v: %w\n%s%s", args, err, talk.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}
