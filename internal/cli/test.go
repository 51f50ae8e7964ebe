package cli

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/apptest"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

func (c *command) test() *cobra.Command {
	var match string
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "test [FILE...]", Short: "Run the app's own tests", GroupID: groupWeek,
		Long: "Runs the files tests/*.test.ts. Each test has the app for itself: a fresh database in\n" +
			"memory, a clock that moves when the test says so, a mailbox, and outside hosts that\n" +
			"the test plays. FILE chooses files by a part of their name.",
		Example: "  galley test\n  galley test checkout --run 'last (one|seat)'",
		RunE: func(cmd *cobra.Command, files []string) error {
			conf := apptest.Config{Config: c.serveConfig(), Files: files, Time: limit}
			if match != "" {
				var err error
				if conf.Match, err = regexp.Compile(match); err != nil {
					return wrong("--run is a regular expression: %w", err)
				}
			}
			return c.runTests(cmd, conf)
		},
	}
	cmd.Flags().StringVar(&match, "run", "", "only tests whose name matches this regular expression")
	cmd.Flags().DurationVar(&limit, "timeout", 10*time.Second, "how long one test may take")
	return cmd
}

func (c *command) runTests(cmd *cobra.Command, conf apptest.Config) error {
	var failed []apptest.Result
	file := ""
	conf.Done = func(r apptest.Result) {
		if c.json {
			_ = c.print(struct {
				apptest.Result
				Line int     `json:"line,omitempty"`
				MS   float64 `json:"ms"`
			}{r, r.At.Line, float64(r.Took.Microseconds()) / 1000})
			return
		}
		if r.File != file {
			file = r.File
			fmt.Fprintln(c.out, file)
		}
		mark := c.green("✓")
		if !r.OK {
			mark = c.red("✗")
			failed = append(failed, r)
		}
		took := c.dim(fmt.Sprintf("%d ms", r.Took.Milliseconds()))
		fmt.Fprintf(c.out, "  %s %s %s\n", mark, r.Test, took)
		for _, line := range r.Said {
			fmt.Fprintf(c.out, "    %s\n", c.dim(line))
		}
	}
	sum, err := apptest.Run(cmd.Context(), conf)
	var app *serve.AppError
	if errors.As(err, &app) {
		return c.opening(app)
	}
	if err != nil {
		return err
	}
	if sum.Passed+sum.Failed == 0 && (len(conf.Files) > 0 || conf.Match != nil) {
		return errors.New("no test has such a name, so nothing was tested")
	}
	if c.json {
		err = c.print(sum)
	} else {
		err = c.tested(sum, failed)
	}
	if err == nil && sum.Failed > 0 {
		err = exit{exitFailed}
	}
	return err
}

// tested tells what did not hold, with the place, and counts.
func (c *command) tested(sum apptest.Summary, failed []apptest.Result) error {
	for _, r := range failed {
		f := spec.Finding{Pos: r.At, Message: r.Test + ": " + r.Why}
		if r.At.Line == 0 {
			f.Pos = spec.Pos{File: r.File, Line: 1, Column: 1}
		}
		fmt.Fprintln(c.out)
		if err := appfile.Render(c.out, []spec.Finding{f}, sum.Files, c.color); err != nil {
			return err
		}
		for _, line := range r.Log {
			fmt.Fprintf(c.out, "  %s\n", c.dim(line))
		}
	}
	if sum.Passed+sum.Failed+sum.Skipped == 0 {
		c.say("there are no tests: write one in tests/NAME.test.ts")
		return nil
	}
	fmt.Fprintf(c.out, "\n%d passed, %d failed", sum.Passed, sum.Failed)
	if sum.Skipped > 0 {
		fmt.Fprintf(c.out, ", %d not chosen", sum.Skipped)
	}
	fmt.Fprintln(c.out)
	return nil
}
