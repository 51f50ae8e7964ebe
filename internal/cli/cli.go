// Package cli is the galley command: it reads flags, calls the rooms below, and
// prints. Results go to stdout and talk to stderr. It holds no logic of the backend.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/serve"
)

// Exit codes.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitApp      = 3
	exitDecision = 4
	exitSignal   = 130
)

// Version is the released version of this binary.
const Version = "0.1.0"

// Program is what a custom binary brings along: its embedded app, and its actions
// in Go. The zero Program is the plain galley command.
type Program struct {
	// Files holds galley.yaml and what belongs to it; nil means the folder --app.
	Files fs.FS
	// Actions holds the registered Go actions; nil if there are none.
	Actions action.Program
	// Runner runs them.
	Runner action.Runner
}

// An exit is an error with an exit code of its own. What is to be said was said.
type exit struct{ code int }

func (e exit) Error() string { return fmt.Sprintf("exit %d", e.code) }

// usage is an error in how the command was called.
type usage struct{ err error }

func (u usage) Error() string { return u.err.Error() }
func (u usage) Unwrap() error { return u.err }

func wrong(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

// command holds what all commands share.
type command struct {
	program Program
	config  config.Config
	json    bool
	color   bool
	in      io.Reader
	out     io.Writer
	err     io.Writer
}

// Main runs the command line and returns its exit code.
func Main(args []string, program Program) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, program, os.Stdin, os.Stdout, os.Stderr)
}

func run(ctx context.Context, args []string, program Program, in io.Reader,
	out, errs io.Writer) int {
	c := &command{program: program, in: in, out: out, err: errs}
	c.color = isTerminal(errs) && os.Getenv("NO_COLOR") == ""
	root := c.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	return c.code(ctx, root.ExecuteContext(ctx))
}

// code turns the end of a command into an exit code and says what went wrong.
func (c *command) code(ctx context.Context, err error) int {
	var e exit
	var u usage
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &u) || isUsage(err):
		fmt.Fprintf(c.err, "%s %v\n", c.red("error:"), err)
		return exitUsage
	case ctx.Err() != nil:
		return exitSignal
	}
	fmt.Fprintf(c.err, "%s %s\n", c.red("error:"), c.sentence(err))
	var f *fault.Fault
	var plan *serve.UnsafePlan
	if errors.As(err, &plan) || errors.As(err, &f) && f.Code == "missing_secret" {
		return exitDecision
	}
	return exitFailed
}

// sentence is an error as a person reads it.
func (c *command) sentence(err error) string {
	var f *fault.Fault
	if !errors.As(err, &f) {
		return err.Error()
	}
	text := f.Message
	for _, i := range f.Items {
		text += "\n  " + i.Pointer + "  " + i.Detail
	}
	if f.Kind == fault.Internal && f.Cause != nil {
		text += "\n  " + f.Cause.Error()
	}
	return text
}

// isUsage recognises cobra's own complaints about arguments.
func isUsage(err error) bool {
	for _, s := range []string{"unknown command", "unknown flag", "unknown shorthand",
		"accepts ", "requires ", "flag needs an argument", "invalid argument"} {
		if strings.HasPrefix(err.Error(), s) {
			return true
		}
	}
	return false
}

// The groups of the help: a normal week, and the rest.
const (
	groupWeek = "week"
	groupMore = "more"
)

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "galley",
		Short:         "A complete backend in one binary. The browser asks, the backend decides.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       Version,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args:          cobra.NoArgs,
	}
	root.SuggestionsMinimumDistance = 2
	root.AddGroup(&cobra.Group{ID: groupWeek, Title: "Commands of a normal week:"},
		&cobra.Group{ID: groupMore, Title: "More:"})
	root.SetHelpCommandGroupID(groupMore)
	root.SetCompletionCommandGroupID(groupMore)
	flags := root.PersistentFlags()
	flags.StringVar(&c.config.App, "app", "", "folder of galley.yaml (default .)")
	flags.StringVar(&c.config.Data, "data", "", "folder of the database (default APP/data)")
	flags.BoolVar(&c.json, "json", false, "print data as JSON, one object a line")
	root.AddCommand(
		c.init(), c.dev(), c.serve(), c.check(), c.migrate(), c.gen(),
		c.get(), c.call(), c.why(),
		c.set(), c.imports(), c.exports(), c.format(), c.version(),
	)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	return root
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", GroupID: groupMore, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if c.json {
				return c.print(map[string]string{"galley": Version})
			}
			_, err := fmt.Fprintln(c.out, "galley", Version)
			return err
		},
	}
}
