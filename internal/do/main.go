// Command do holds the chores of the repository: what somebody who works on Galley runs now
// and then, and what nobody who uses Galley needs. Run it at the root of the repository:
//
//	go run ./internal/do <chore> [flags]
//
// A chore lives in a file of its name. It prints its results on stdout and its talk on
// stderr, and fails with exit code 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// A chore is one thing that this command can do.
type chore struct {
	name, about string
	run         func(ctx context.Context, args []string) error
}

func chores() []chore {
	return []chore{
		{"catalogue", "write the shop's seed from its invoices", runCatalogue},
		{"replay", "send the real invoices through the shop and prove the sums", runReplay},
		{"report", "print what the style guide asks a person to look at", runReport},
		{"sdk", "build galley.js and the hooks for React from their sources", runSDK},
		{"setup", "install the Debian packages that the tests use", runSetup},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		usage()
		return 2
	}
	for _, c := range chores() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:])
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		default:
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, err)
			return 1
		}
	}
	fmt.Fprintf(os.Stderr, "there is no chore %q\n", args[0])
	usage()
	return 2
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go run ./internal/do <chore> [flags]")
	for _, c := range chores() {
		fmt.Fprintf(os.Stderr, "  %-12s %s\n", c.name, c.about)
	}
}
