package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/serve"
)

func (c *command) migrate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "See and apply changes of the schema", GroupID: groupWeek,
		Args: cobra.NoArgs,
		Long: "The app file says which records there are; the plan is what must change in the\n" +
			"database for it. dev and serve apply a plan that is safe by themselves. Renames are\n" +
			"said in the app file with was:.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var lose []string
	apply := &cobra.Command{
		Use: "apply", Short: "Apply the plan", Args: cobra.NoArgs,
		Long: "Applies the plan, all of it or nothing. What loses data has to be named.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.runMigrate(cmd.Context(), http.MethodPost, "/local/apply",
				map[string][]string{"lose": append([]string{}, lose...)})
		},
	}
	apply.Flags().StringSliceVar(&lose, "lose", nil,
		"fields or collections whose values may go, such as orders.note")
	cmd.AddCommand(&cobra.Command{
		Use: "plan", Short: "Show what would change, and what it would do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.runMigrate(cmd.Context(), http.MethodGet, "/local/plan", nil)
		},
	}, apply, &cobra.Command{
		Use: "status", Short: "Say whether the database fits the app file", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := c.plan(cmd.Context(), http.MethodGet, "/local/plan", nil)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(map[string]any{"changes": len(p.Changes)})
			}
			if len(p.Changes) == 0 {
				_, err = fmt.Fprintln(c.out, "The database fits the app file.")
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s to make. See: galley migrate plan\n",
				plural(len(p.Changes), "change"))
			return err
		},
	})
	return cmd
}

// plan asks for a plan through the local door.
func (c *command) plan(ctx context.Context, method, path string, body any) (serve.Plan, error) {
	var p serve.Plan
	compiled, err := c.compile()
	if err != nil || compiled.App == nil {
		return p, err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return p, err
	}
	cfg := c.serveConfig()
	cfg.Keep = true
	door, err := serve.Dial(ctx, cfg)
	if err != nil {
		return p, c.opening(err)
	}
	defer door.Close()
	req, err := http.NewRequestWithContext(ctx, method, "http://galley"+path, bytes.NewReader(text))
	if err != nil {
		return p, err
	}
	res, err := door.Do(req)
	if err != nil {
		return p, err
	}
	defer res.Body.Close()
	var answer struct {
		serve.Plan
		Error string
		Code  string
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return p, err
	}
	switch {
	case answer.Code == serve.CodeUnsafe:
		return answer.Plan, &serve.UnsafePlan{Plan: answer.Plan}
	case answer.Error != "":
		return p, errors.New(answer.Error)
	}
	return answer.Plan, nil
}

func (c *command) runMigrate(ctx context.Context, method, path string, body any) error {
	p, err := c.plan(ctx, method, path, body)
	var unsafe *serve.UnsafePlan
	if err != nil && !errors.As(err, &unsafe) {
		return err
	}
	if err := c.showPlan(p); err != nil {
		return err
	}
	blocked, loses := p.Count()
	switch {
	case len(p.Changes) == 0:
		c.say("The database fits the app file.")
	case method == http.MethodPost && unsafe == nil:
		c.say("Applied: %s.", plural(len(p.Changes), "change"))
		return nil
	case blocked+loses == 0:
		c.say("Safe: dev and serve apply it by themselves, or now:  galley migrate apply")
	default:
		c.remedies(p, blocked, loses)
		return exit{exitDecision}
	}
	return nil
}

func (c *command) showPlan(p serve.Plan) error {
	if c.json {
		for _, change := range p.Changes {
			if err := c.print(change); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, x := range p.Changes {
		fmt.Fprintf(w, "  %s\t%s %s\t%s\t%s\n", x.Collection, x.Sign, x.What, x.Risk, x.Why)
	}
	return w.Flush()
}

// remedies says what to do about a plan that is not safe.
func (c *command) remedies(p serve.Plan, blocked, loses int) {
	c.say("\n%d blocked, %d lose data. Nothing was changed.", blocked, loses)
	lose := ""
	for _, x := range p.Changes {
		switch x.Risk {
		case serve.RiskBlocked:
			if len(x.IDs) > 0 {
				c.say("  see the records:     galley export %s", x.Collection)
			}
		case serve.RiskLoses:
			c.say("  keep the values:     galley export %s --out %s.jsonl", x.Collection, x.Collection)
			if lose != "" {
				lose += ","
			}
			lose += x.Lose
		}
	}
	if lose != "" && blocked == 0 {
		c.say("  apply all the same:  galley migrate apply --lose %s", lose)
	}
}
