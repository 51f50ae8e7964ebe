// Package cli is the galley command: it reads flags, calls the rooms below, and
// prints. Results go to stdout and talk to stderr. It holds no logic of the backend.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/value"
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
	// types is where dev writes the types of the client, "" for nowhere.
	types string
	in    io.Reader
	out   io.Writer
	err   io.Writer
}

// Main runs the command line and returns its exit code.
func Main(args []string, program Program) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // whoever interrupts twice does not want to wait
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
	case errors.As(err, &u):
		fmt.Fprintf(c.err, "%s %v\n", c.red("error:"), err)
		return exitUsage
	case ctx.Err() != nil:
		c.say("interrupted")
		return exitSignal
	}
	var plan *serve.UnsafePlan
	if errors.As(err, &plan) {
		return c.undecided(plan.Plan)
	}
	fmt.Fprintf(c.err, "%s %s\n", c.red("error:"), c.sentence(err))
	if next := c.remedy(err); next != "" {
		c.say("  %s", next)
	}
	f := faultOf(err)
	if f != nil && f.Code == serve.CodeAddress {
		return exitUsage
	}
	if f != nil && (f.Code == config.CodeMissingSecret ||
		f.Code == config.CodeMissingMail ||
		f.Code == config.CodeWeakSecret) {
		return exitDecision
	}
	return exitFailed
}

func faultOf(err error) *fault.Fault {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// sentence is an error as a person reads it.
func (c *command) sentence(err error) string {
	f := faultOf(err)
	if f == nil {
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

// remedy says what to do about an error of this machine, "" if nothing is known.
func (c *command) remedy(err error) string {
	f := faultOf(err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop what listens there, or choose another address:  --listen 127.0.0.1:0"
	case strings.Contains(err.Error(), "has this data folder open"):
		return "stop it, or use another folder:  --data DIR"
	case strings.Contains(err.Error(), "missing port in address"):
		return "an address has a host and a port:  --listen 127.0.0.1:8080"
	case errors.Is(err, fs.ErrPermission):
		return "see to the owner and the mode of that file"
	case f != nil && f.Code == config.CodeMissingSecret:
		return "for galley dev a line NAME=value in secrets.dev will do"
	}
	return ""
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
		Args:          noCommand,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if c.config.Database == "" {
				return nil
			}
			return serve.CheckAddress(c.config.Database)
		},
		Example: "  galley init shop && cd shop && galley dev\n" +
			"  galley why 01k9vq3r7t2m8xzd",
	}
	root.AddGroup(&cobra.Group{ID: groupWeek, Title: "Commands of a normal week:"},
		&cobra.Group{ID: groupMore, Title: "More:"})
	root.SetHelpCommandGroupID(groupMore)
	root.SetCompletionCommandGroupID(groupMore)
	flags := root.PersistentFlags()
	flags.StringVar(&c.config.App, "app", "", "folder of galley.yaml (default .)")
	flags.StringVar(&c.config.Data, "data", "", "folder of the database (default APP/data)")
	flags.StringVar(&c.config.Database, "database", "",
		"address of the database, which many servers may share (default a file in --data;\n"+
			"with a password better as "+config.DatabaseEnv+")")
	flags.BoolVar(&c.json, "json", false, "print data as JSON, one object a line")
	root.AddCommand(
		c.init(), c.dev(), c.serve(), c.check(), c.test(), c.migrate(), c.gen(),
		c.completes(c.get(), readNames), c.completes(c.call(), actionNames), c.why(),
		c.completes(c.set(), collectionNames), c.completes(c.imports(), collectionNames),
		c.completes(c.exports(), exportNames), c.backup(), c.restore(), c.conform(), c.move(),
		c.jobs(), c.followers(), c.deliveries(), c.mail(), c.secrets(), c.format(), c.version(),
	)
	root.SetFlagErrorFunc(flagError)
	explainArgs(root)
	return root
}

// noCommand refuses an argument where a command is wanted.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %q.", cmd.CommandPath()+" "+args[0])
	var names []string
	near := ""
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
		if slices.Contains(sub.SuggestFor, args[0]) {
			near = sub.Name()
		}
	}
	if near = cmp.Or(near, value.Nearest(args[0], names)); near != "" {
		return wrong("%s Did you mean %s %s?", text, cmd.CommandPath(), near)
	}
	return wrong("%s See: %s --help", text, cmd.CommandPath())
}

var (
	flagNamed = regexp.MustCompile(`^unknown flag: --([^ ]+)`)
	flagKnown = regexp.MustCompile(`(?m)^ +(?:-[a-z], |  )  ?--([a-z-]+)`)
)

// flagError is the error of a wrong flag, with the one that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	m := flagNamed.FindStringSubmatch(err.Error())
	if m == nil {
		return wrong("%w. See: %s --help", err, cmd.CommandPath())
	}
	var names []string
	for _, known := range flagKnown.FindAllStringSubmatch(
		cmd.LocalFlags().FlagUsages()+cmd.InheritedFlags().FlagUsages(), -1) {
		names = append(names, known[1])
	}
	if near := value.Nearest(m[1], names); near != "" {
		return wrong("%s has no flag --%s. Did you mean --%s?", cmd.CommandPath(), m[1], near)
	}
	return wrong("%s has no flag --%s. See: %s --help", cmd.CommandPath(), m[1], cmd.CommandPath())
}

// explainArgs makes commands say how they are called when they are called wrongly.
func explainArgs(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		explainArgs(sub)
	}
	if args := cmd.Args; args != nil && cmd.HasParent() && !cmd.HasSubCommands() {
		cmd.Args = func(cmd *cobra.Command, given []string) error {
			if args(cmd, given) == nil {
				return nil
			}
			return wrong("it is called so:  %s\n  more:  %s --help", cmd.UseLine(), cmd.CommandPath())
		}
	}
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
