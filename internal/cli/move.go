package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/backup"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/transfer"
)

func (c *command) move() *cobra.Command {
	var r serve.MoveRequest
	cmd := &cobra.Command{
		Use: "move --to <database>", Short: "Move everything to another database, while the app is served",
		GroupID: groupMore, Args: cobra.NoArgs,
		Long: "Copies the records, the journal and the app's schema into an empty database, follows\n" +
			"what is written meanwhile, compares each collection, and lets writes wait for a moment\n" +
			"while the last of them are copied. The running server then goes on with the new\n" +
			"database, and the old one is not served any more. Places, ids and idempotency keys stay\n" +
			"what they are, so the way back is another move. If it is broken off, run it again.",
		Example: "  galley move --to " + serve.ExampleServer + "\n" +
			"  galley move --from " + serve.ExampleServer + " --to " + serve.ExampleDatabase,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.To == "" {
				return wrong("--to names the database to move to, such as %s",
					serve.ExampleServer)
			}
			return c.runMove(cmd.Context(), r)
		},
	}
	cmd.Flags().StringVar(&r.To, "to", "", "address of an empty database")
	cmd.Flags().StringVar(&r.From, "from", "", "address of the database to leave (default the app's)")
	return cmd
}

// The words of a move's phases.
var phases = map[string]string{"copy": "copied", "follow": "followed", "compare": "compared",
	"pause": "writes wait:"}

func (c *command) runMove(ctx context.Context, r serve.MoveRequest) error {
	start := time.Now()
	var p *progress
	moved, err := serve.Move(ctx, c.serveConfig(), r, func(at transfer.Progress) {
		what := phases[at.Phase] + " " + at.What
		if p == nil || p.what != what {
			if p != nil {
				p.end()
			}
			p = c.progress(what, 0)
		}
		p.at(at.Done)
	})
	if p != nil {
		p.end()
	}
	if err != nil {
		if ctx.Err() != nil {
			c.say("The same command goes on where it was.")
		}
		return err
	}
	if c.json {
		return c.print(struct {
			transfer.Moved
			To      string  `json:"to"`
			Seconds float64 `json:"pause"`
		}{moved, serve.ShownAddress(r.To), moved.Pause.Seconds()})
	}
	if len(moved.Records) == 0 {
		c.say("  %s is the app's database already, and is whole", serve.ShownAddress(r.To))
		return nil
	}
	c.say("  %-20s %8d  %s", "the journal", moved.Entries, c.dim(moved.Journal[:16]))
	for _, name := range (backup.End{Records: moved.Records}).Collections() {
		c.say("  %-20s %8d  %s", name, moved.Records[name], c.dim(moved.Sums[name][:16]))
	}
	c.say("  %s up to entry %s; writes waited %v  (%s)", c.green("moved"), moved.Seq,
		moved.Pause.Round(time.Millisecond), spent(start))
	c.say("Serve it from now on with:  --database %s", quoted(serve.ShownAddress(r.To)))
	return nil
}
