package serve

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/galleybackend/galley/internal/config"
)

// asker asks over a connection until it is told to go, or opens one for each request.
func asker(address string, each bool, asked *atomic.Int64) error {
	var c net.Conn
	var in *bufio.Reader
	for {
		if c == nil {
			var err error
			if c, err = net.Dial("tcp", address); err != nil {
				return err
			}
			in = bufio.NewReader(c)
		}
		if _, err := fmt.Fprint(c, "GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return fmt.Errorf("ask: %w", err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return fmt.Errorf("hear: %w", err)
		}
		_ = res.Body.Close() // it is short, and read with the head
		asked.Add(1)
		if res.Close {
			return nil
		}
		if each {
			_ = c.Close() // whoever asks once has gone
			c = nil
		}
	}
}

func TestAServerThatStopsAnswersWhoeverItTookIn(t *testing.T) {
	for range 3 {
		s, err := Open(t.Context(), Config{Config: config.Config{App: "../../examples/empty",
			Data: t.TempDir(), Limits: "off", Listen: "127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		url, err := s.Listen()
		if err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int64
		var all sync.WaitGroup
		for i := range 24 {
			all.Go(func() {
				err := asker(strings.TrimPrefix(url, "http://"), i%3 == 0, &asked)
				if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("after %d answers: %v", asked.Load(), err)
				}
			})
		}
		for asked.Load() < 500 {
			if t.Failed() {
				break
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	}
}
