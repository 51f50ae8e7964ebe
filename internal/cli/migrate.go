package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/serve"
)

func (c *command) migrate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "See and apply changes of the schema", GroupID: groupWeek,
		Args:    noCommand,
		Example: "  galley migrate plan\n  galley migrate apply --lose orders.note",
		Long: "The app file says which records there are; the plan is what must change in the\n" +
			"database for it. dev and serve apply a plan that is safe by themselves. Renames are\n" +
			"said in the app file with was:.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var lose []string
	apply := &cobra.Command{
		Use: "apply", Short: "Apply the plan", Args: cobra.NoArgs,
		Example: "  galley migrate apply\n  galley migrate apply --lose orders.note,drafts",
		Long: "Applies the plan, all of it or nothing. What loses data has to be named. The app\n" +
			"is then in force on every server of the database, also one that was superseded\n" +
			"before: this is the way back.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.runMigrate(cmd.Context(), http.MethodPost, "/local/apply", lose)
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
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return p, err
		}
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
		return p, fmt.Errorf("the answer of the running server broke off: %w", err)
	}
	switch {
	case answer.Code == serve.CodeUnsafe:
		return answer.Plan, &serve.UnsafePlan{Plan: answer.Plan}
	case answer.Error != "":
		return p, errors.New(answer.Error)
	}
	return answer.Plan, nil
}

func (c *command) runMigrate(ctx context.Context, method, path string, lose []string) error {
	var body any
	if method == http.MethodPost {
		body = map[string][]string{"lose": append([]string{}, lose...)}
	}
	p, err := c.plan(ctx, method, path, body)
	var unsafe *serve.UnsafePlan
	if err != nil && !errors.As(err, &unsafe) {
		return err
	}
	if err := c.showPlan(c.out, p); err != nil {
		return err
	}
	blocked, loses := p.Count()
	switch {
	case len(p.Changes) == 0 && p.Deploy > 0:
		c.say("The database fits the app file. The app is in force: deploy %d.", p.Deploy)
	case len(p.Changes) == 0:
		c.say("The database fits the app file.")
	case method == http.MethodPost && unsafe == nil:
		c.say("Applied: %s.", plural(len(p.Changes), "change"))
	case blocked+loses == 0:
		c.say("Safe: dev and serve apply it by themselves, or now:  galley migrate apply%s", c.folders())
	default:
		c.remedies(p, lose)
		return exit{exitDecision}
	}
	return nil
}

// undecided says why an app does not start that changes the schema in a way which is
// not safe, and returns the exit code.
func (c *command) undecided(p serve.Plan) int {
	c.say("%s the app file changes the schema in a way that is not safe", c.red("error:"))
	_ = c.showPlan(c.err, p) // a terminal that is gone reads nothing
	c.remedies(p, nil)
	return exitDecision
}

func (c *command) showPlan(to io.Writer, p serve.Plan) error {
	if c.json && to == c.out {
		for _, change := range p.Changes {
			if err := c.print(change); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, x := range p.Changes {
		fmt.Fprintf(w, "  %s\t%s %s\t%s\t%s\n", x.Collection, x.Sign, x.What, x.Risk, x.Why)
	}
	return w.Flush()
}

// remedies says what to do about a plan that is not safe. lose is what the caller
// would give up.
func (c *command) remedies(p serve.Plan, lose []string) {
	c.say("\n%s. Nothing was changed.", p.Unsafe())
	blocked, _ := p.Count()
	var names []string
	for _, x := range p.Changes {
		switch x.Risk {
		case serve.RiskBlocked:
			if len(x.IDs) > 0 {
				c.say("  see the records:     galley export %s%s | grep %s", x.Collection, c.folders(),
					x.IDs[0])
			}
		case serve.RiskLoses:
			c.say("  keep the values:     galley export %s --out %s.jsonl%s", x.Collection,
				x.Collection, c.folders())
			names = append(names, x.Lose)
		}
	}
	for _, name := range lose {
		if !slices.Contains(names, name) {
			c.say("  --lose %s names nothing that would be lost", name)
		}
	}
	switch {
	case blocked > 0:
		c.say("  then mend what is blocked, in the app file or in the records")
	case len(names) > 0:
		c.say("  apply all the same:  galley migrate apply --lose %s%s",
			strings.Join(names, ","), c.folders())
	}
}

// folders repeats the folders of this command for another one.
func (c *command) folders() string {
	said := ""
	if c.config.App != "" {
		said += " --app " + quoted(c.config.App)
	}
	if c.config.Data != "" {
		said += " --data " + quoted(c.config.Data)
	}
	if u, err := url.Parse(c.config.Database); err == nil && c.config.Database != "" {
		said += " --database " + quoted(u.Redacted())
	}
	return said
}

var plainWord = regexp.MustCompile(`^[\pL\pN_@%+=:,./…-]+$`)

// quoted writes a word of a command so that a shell takes it for one.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
