package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func (c *command) jobs() *cobra.Command {
	cmd := &cobra.Command{
		Use: "jobs", Short: "Work after the commit: see it, end it, try it again",
		GroupID: groupMore, Args: noCommand,
		Example: "  galley jobs list --state failed\n  galley jobs retry 01k9… --from charge",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.listJobs(), c.showJob(), c.retryJob(), c.cancelJob())
	return cmd
}

func (c *command) listJobs() *cobra.Command {
	params := map[string]*string{}
	cmd := &cobra.Command{
		Use: "list", Short: "The newest jobs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, v := range params {
				if *v != "" {
					q.Set(name, *v)
				}
			}
			res, err := c.ask(cmd.Context(), as{}, http.MethodGet, "/local/jobs?"+q.Encode(), nil)
			if err != nil {
				return err
			}
			return c.show(res, true)
		},
	}
	for name, about := range map[string]string{
		"state": "waiting, running, done, failed or cancelled", "name": "jobs of this name",
		"limit": "number of jobs, at most 1000", "cursor": "the next of an earlier answer",
	} {
		params[name] = cmd.Flags().String(name, "", about)
	}
	return cmd
}

func (c *command) showJob() *cobra.Command {
	return &cobra.Command{
		Use: "show <id>", Short: "A job with its steps", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := c.askJob(cmd, http.MethodGet, args[0], "")
			if err != nil || c.json {
				return c.raw(text, err)
			}
			return c.wholeJob(text)
		},
	}
}

func (c *command) retryJob() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "retry <id>", Short: "Try a job again that failed or was cancelled",
		Args: cobra.ExactArgs(1),
		Long: "The steps that ended are kept, so that it goes on where it stopped. With --from\n" +
			"that step and all behind it run again.",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/retry"
			if from != "" {
				path += "?from=" + url.QueryEscape(from)
			}
			text, err := c.askJob(cmd, http.MethodPost, args[0], path)
			if err != nil || c.json {
				return c.raw(text, err)
			}
			var j struct {
				Name    string
				Attempt int
				Retry   int
			}
			if err := json.Unmarshal(text, &j); err != nil {
				return err
			}
			where := ""
			if from != "" {
				where = fmt.Sprintf(" · from step %q", from)
			}
			_, err = fmt.Fprintf(c.out, "%s%s · attempt %d of %d → waiting\n", j.Name, where,
				j.Attempt, j.Retry+1)
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the step from which on everything runs again")
	return cmd
}

func (c *command) cancelJob() *cobra.Command {
	return &cobra.Command{
		Use: "cancel <id>", Short: "End a job before its next step", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := c.askJob(cmd, http.MethodPost, args[0], "/cancel")
			if err != nil || c.json {
				return c.raw(text, err)
			}
			var j struct{ Name, State string }
			if err := json.Unmarshal(text, &j); err != nil {
				return err
			}
			if j.State == "running" {
				j.State = "ends before its next step"
			}
			_, err = fmt.Fprintf(c.out, "%s · %s\n", j.Name, j.State)
			return err
		},
	}
}

// askJob asks the local door about a job.
func (c *command) askJob(cmd *cobra.Command, method, id, path string) ([]byte, error) {
	res, err := c.ask(cmd.Context(), as{}, method, "/local/jobs/"+url.PathEscape(id)+path, nil)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(res.Body)
}

// raw prints an answer as it came.
func (c *command) raw(text []byte, err error) error {
	if err == nil {
		_, err = c.out.Write(text)
	}
	return err
}

// wholeJob prints a job: what is known of it, a field a line, then its steps.
func (c *command) wholeJob(text []byte) error {
	names, values, err := pairs(text)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	var steps []struct {
		Name, Kind string
		Result     json.RawMessage
		Problem    *struct{ Code string }
		Due, Ended time.Time
	}
	for i, name := range names {
		if name == "steps" {
			if err := json.Unmarshal(values[i], &steps); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s\t%s\n", name, plain(values[i]))
	}
	for n, s := range steps {
		what := clip(plain(s.Result))
		switch {
		case s.Problem != nil:
			what = "refused: " + s.Problem.Code
		case s.Ended.IsZero():
			what = "waits"
		case s.Kind == "sleep":
			what = "until " + s.Due.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%d %s\t%s\n", n+1, strings.Join([]string{s.Kind, s.Name}, " "), what)
	}
	return w.Flush()
}

func (c *command) followers() *cobra.Command {
	cmd := &cobra.Command{
		Use: "followers", Short: "What follows the journal: how far it is, and what was set apart",
		GroupID: groupMore, Args: noCommand,
		Long: "A follower does what must happen because of a commit. An entry at which it fails\n" +
			"again and again is set apart, so that the rest goes on; it stays until it is tried\n" +
			"again with success, or skipped.",
		Example: "  galley followers\n  galley followers retry 01k9vq3m8d0000000000000000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.listLocal(cmd, "/local/followers")
		},
	}
	unpark := func(verb, about, done string) *cobra.Command {
		return &cobra.Command{Use: verb + " <id>", Short: about, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				_, err := c.ask(cmd.Context(), as{}, http.MethodPost,
					"/local/parked/"+url.PathEscape(args[0])+"/"+verb, nil)
				if err == nil {
					c.say("%s", done)
				}
				return err
			}}
	}
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "The followers", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return c.listLocal(cmd, "/local/followers")
			}},
		&cobra.Command{Use: "parked", Short: "The entries that were set apart", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return c.listLocal(cmd, "/local/parked") }},
		unpark("retry", "Try an entry again that was set apart", "accepted"),
		unpark("skip", "Forget an entry that was set apart", "skipped"))
	return cmd
}

// listLocal prints a list of the local door.
func (c *command) listLocal(cmd *cobra.Command, path string) error {
	res, err := c.ask(cmd.Context(), as{}, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return c.show(res, true)
}
