// Command direct is the second yardstick of the benchmark: what a careful engineer
// writes by hand for the shop of bench/app, in net/http and prepared statements on the
// driver that Galley uses. Reads have a pool of connections of their own; a write is
// one transaction and one flushed commit. It has sessions, the rules and the checks,
// and nothing that Galley does beyond them: no journal, no idempotency, no versions to
// compare, no general filters.
//
//	direct load DIR PRODUCTS.jsonl USERS.jsonl   makes the database and DIR/tokens.json
//	direct serve DIR [-group]                    serves it; -group commits in groups
//	direct sums DIR                              prints what it holds
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "direct:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "load":
		return load(args[1], args[2], args[3])
	case len(args) == 2 && args[0] == "sums":
		return sums(args[1])
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1], false)
	case len(args) == 3 && args[0] == "serve" && args[2] == "-group":
		return serve(args[1], true)
	}
	return errors.New("usage: direct load DIR PRODUCTS USERS | " +
		"direct serve DIR [-group] | direct sums DIR")
}

func serve(dir string, group bool) error {
	path := filepath.Join(dir, "direct.db")
	pool, err := openReaders(path, 2*runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	c, err := open(path)
	if err != nil {
		return err
	}
	var w writer
	if group {
		w = newGroupWriter(c)
	} else {
		w = &singleWriter{db: c}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &http.Server{
		Handler:           (&shop{readers: pool, writer: w}).routes(),
		ReadHeaderTimeout: 10 * time.Second,
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	fmt.Printf("direct http://%s\n", l.Addr())
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return s.Shutdown(end)
	}
}
