package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// hears returns what a store hears on the bus, from when it listens.
func hears(t *testing.T, s *Store) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan string, 100)
	var running sync.WaitGroup
	running.Go(func() {
		_ = s.Listen(ctx, func(word []byte) {
			if word == nil {
				return
			}
			select {
			case heard <- string(word):
			case <-ctx.Done():
			}
		})
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	for until := time.Now().Add(time.Minute); ; {
		if err := s.Publish(t.Context(), []byte("are you there?")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard:
			return heard
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(until) {
			t.Fatal("nothing is heard in a minute")
		}
	}
}

// next is the next word that is no question.
func next(t *testing.T, heard <-chan string) string {
	t.Helper()
	for {
		select {
		case w := <-heard:
			if w != "are you there?" {
				return w
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing came in a minute")
		}
	}
}

func TestWordsReachOtherProcessesOnTheSchema(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	open := func(url string) *Store {
		t.Helper()
		s, err := Open(t.Context(), Config{URL: url, Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	one, other := open(url), open(url)
	long := strings.Repeat("x", 60)
	stranger := open(url + "&schema=" + long)
	heard, strange := hears(t, other), hears(t, stranger)
	words := []string{"", "a", `{"it's": "ünï \"x\" $1"}`, strings.Repeat("€", 9_000), strings.Repeat("a ", 15_000),
		strings.Repeat("x", store.BusMax)}
	for _, w := range words {
		if err := one.Publish(t.Context(), []byte(w)); err != nil {
			t.Fatal(err)
		}
	}
	for i, w := range words {
		if got := next(t, heard); got != w {
			t.Errorf("word %d: got %d bytes, want %d", i, len(got), len(w))
		}
	}
	if err := one.Publish(t.Context(), make([]byte, store.BusMax+1)); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprint(store.BusMax)) {
		t.Errorf("a word that is too long: %v", err)
	}
	if err := stranger.Publish(t.Context(), []byte("strange")); err != nil {
		t.Fatal(err)
	}
	if got := next(t, strange); got != "strange" {
		t.Errorf("the other schema hears %q", got)
	}
	if err := one.Publish(t.Context(), []byte("last")); err != nil {
		t.Fatal(err)
	}
	if got := next(t, heard); got != "last" {
		t.Errorf("a word of another schema came over: %q", got)
	}
}

func TestTheBusComesBackWithTheServer(t *testing.T) {
	c := pgtest.Start(t)
	s, err := Open(t.Context(), Config{URL: c.Database(t), Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	hears(t, s)
	c.Stop(t)
	if err := s.Publish(t.Context(), []byte("lost")); err == nil {
		t.Error("a word was said to a server that is not there")
	}
	c.Restart(t)
	hears(t, s)
}

func TestPartsComeTogether(t *testing.T) {
	w := words{open: map[string]*word{}}
	for _, bad := range []string{"", "a", "a b c", "a b 0 1", "n 1 1 1 x", "n 1 -1 2 x", "n 1 x 2 x",
		"n 1 0 0 x", "n 1 0 1000000 x"} {
		if got, ok := w.add(bad); ok {
			t.Errorf("%q is the word %q", bad, got)
		}
	}
	if len(w.open) != 0 {
		t.Error("parts are kept that are none")
	}
	for n := range 10_000 { // words that never end
		w.add(fmt.Sprintf("n %d 0 2 x", n))
	}
	if len(w.open) > partsMax {
		t.Errorf("%d words are kept", len(w.open))
	}
}

func TestOthersOnTheServerCannotFindTheBus(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	s, err := Open(t.Context(), Config{URL: url, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	name, err := s.bus.channelName(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []string{"", "public", "\x00", "public\x00"} {
		if strings.Contains(name, fmt.Sprintf("%x", sha256.Sum224([]byte(known)))[:40]) || name == "galley-bus:"+known {
			t.Errorf("the name %s can be guessed", name)
		}
	}
	other, err := Open(t.Context(), Config{URL: pgtest.Shared(t).Database(t), Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}()
	if same, err := other.bus.channelName(t.Context()); err != nil || same == name {
		t.Errorf("another database has the name %s, %v", same, err)
	}
}
