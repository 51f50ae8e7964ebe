package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/conform"
	"github.com/galleybackend/galley/internal/serve"
)

func (c *command) conform() *cobra.Command {
	return &cobra.Command{
		Use: "conform", Short: "Prove the guarantees on your own database",
		GroupID: groupMore, Args: cobra.NoArgs,
		Long: "Asks of a database everything that galley promises of one: calls as if one came after\n" +
			"the other, one effect for each key, the whole history, and the rest of\n" +
			"docs/guarantees.md. It works in schemas of its own (beside a file: in files of its\n" +
			"own), which it removes, also when it is interrupted; nothing that is yours is read or\n" +
			"written. It takes a minute or two. Exit code 1 if a guarantee is broken.",
		Example: "  galley conform\n  galley conform --json --database " + serve.ExampleServer,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runConform(cmd.Context()) },
	}
}

func (c *command) runConform(ctx context.Context) error {
	if err := serve.CheckAddress(c.config.DatabaseAddr()); err != nil {
		return err
	}
	asked, broken := 0, 0
	var failed error
	err := conform.Run(ctx, c.config.DatabaseAddr(), func(v conform.Verdict) {
		if asked++; !v.Holds {
			broken++
		}
		if c.json {
			failed = c.print(v)
			return
		}
		c.printVerdict(v)
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	}
	if !c.json {
		fmt.Fprintf(c.out, "\n%d of %s %s.\n", asked-broken, plural(asked, "guarantee"),
			verb(asked-broken, "holds", "hold"))
	}
	if broken > 0 {
		return exit{exitFailed}
	}
	return nil
}

// printVerdict prints a guarantee as a row, with its mechanism and what was found.
func (c *command) printVerdict(v conform.Verdict) {
	mark := c.green("✓")
	if !v.Holds {
		mark = c.red("✗")
	}
	took := time.Duration(v.Millis) * time.Millisecond
	fmt.Fprintf(c.out, "%s %-62s %9s %8v\n", mark, v.Guarantee, plural(v.Checks, "check"),
		took.Round(10*time.Millisecond))
	fmt.Fprintf(c.out, "  %s\n", c.dim(v.Mechanism))
	for _, f := range v.Findings {
		fmt.Fprintf(c.out, "    %s: %s\n", f.Check, f.Text)
	}
}
