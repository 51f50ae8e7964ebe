package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/serve"
)

var (
	aboutRecord = regexp.MustCompile(`^([a-z][a-z0-9_]*)/([0-7][0-9a-z]{25})(?:\.([a-z][a-z0-9_]*))?$`)
	aboutRule   = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)
)

func (c *command) why() *cobra.Command {
	return &cobra.Command{
		Use: "why <request | collection/id[.field] | rule>", GroupID: groupWeek,
		Short: "Tell the reason for a decision or a value", Args: cobra.ExactArgs(1),
		Example: "  galley why 01k9vq3r7t…            a request, by its Request-Id\n" +
			"  galley why users/01k8….wallet     where a value comes from\n" +
			"  galley why products.read          what a rule is and what it becomes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if m := aboutRecord.FindStringSubmatch(args[0]); m != nil {
				return c.whyRecord(cmd.Context(), m[1], m[2], m[3])
			}
			if aboutRule.MatchString(args[0]) {
				return c.whyRule(cmd.Context(), args[0])
			}
			return c.whyRequest(args[0])
		},
	}
}

// whyRequest tells the journey of a request, which the server wrote to its folder.
func (c *command) whyRequest(id string) error {
	j, err := c.journey(id)
	if errors.Is(err, observe.ErrJourney) {
		return fmt.Errorf("no request %s is kept; the last ones are, refusals longest", id)
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.print(j)
	}
	outcome := j.Outcome
	if j.Code != "" {
		outcome = j.Code
	}
	fmt.Fprintf(c.out, "%s %s  %d %s  %s  %s\n", j.Method, j.Path, j.Status, outcome, j.Who,
		j.At.Local().Format("2 Jan 15:04:05"))
	if len(j.Stages) > 0 {
		var said []string
		for _, s := range j.Stages {
			said = append(said, fmt.Sprintf("%s %.2f", s.Name, ms(s.Took)))
		}
		fmt.Fprintf(c.out, "%s  %s ms in all %.2f\n", c.dim("stages"), strings.Join(said, " · "), ms(j.Took))
	}
	for _, r := range j.Rules {
		mark := c.green("✓")
		if !r.Yes {
			mark = c.red("✗")
		}
		fmt.Fprintf(c.out, "\n%s rule %s  %s\n", mark, r.Rule, r.Place)
		if r.Tree != "" {
			fmt.Fprintln(c.out, indent(r.Tree))
		}
	}
	for _, l := range j.Logs {
		fmt.Fprintln(c.out, "log", l)
	}
	if j.Cause != "" {
		fmt.Fprintf(c.out, "\n%s %s\n", c.red("cause"), j.Cause)
	}
	return nil
}

// journey looks twice: what just happened is written within a quarter of a second.
func (c *command) journey(id string) (observe.Journey, error) {
	journeys := observe.OpenJourneys(c.config.Journeys())
	j, err := journeys.Find(id)
	if !errors.Is(err, observe.ErrJourney) {
		return j, err
	}
	time.Sleep(400 * time.Millisecond)
	return journeys.Find(id)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}

// local gets the lines of an answer of the local door.
func (c *command) local(ctx context.Context, path string, each func(line []byte) error) error {
	door, err := serve.Dial(ctx, c.serveConfig())
	if err != nil {
		return c.opening(err)
	}
	defer door.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://galley"+path, nil)
	if err != nil {
		return err
	}
	res, err := door.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var failed struct{ Error string }
		if bytes.HasPrefix(lines.Bytes(), []byte(`{"error"`)) &&
			json.Unmarshal(lines.Bytes(), &failed) == nil {
			return errors.New(failed.Error)
		}
		if err := each(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// entry is an entry of the journal as the local door writes it.
type entry struct {
	Seq       string
	At        time.Time
	Call      string
	Subject   string
	Operation string
	Changes   []struct {
		Collection    string
		ID            string
		Before, After map[string]json.RawMessage
	}
}

// whyRecord tells which commits made a record, or one of its values, what it is.
func (c *command) whyRecord(ctx context.Context, collection, id, field string) error {
	q := url.Values{"collection": {collection}, "id": {id}}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	said := 0
	err := c.local(ctx, "/local/journal?"+q.Encode(), func(line []byte) error {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		for _, x := range e.Changes {
			if x.Collection != collection || x.ID != id {
				continue
			}
			before, after := x.Before[field], x.After[field]
			if field != "" && bytes.Equal(before, after) {
				continue
			}
			said++
			if c.json {
				_, err := fmt.Fprintf(c.out, "%s\n", line)
				return err
			}
			what := changed(x.Before, x.After)
			if field != "" {
				what = plainOr(after, "–") + "\t" + difference(before, after)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", what, e.At.Local().Format("2 Jan 15:04:05"),
				e.Operation, e.Subject, e.Call)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if said == 0 {
		return fmt.Errorf("the journal has no change of %s/%s %s", collection, id, field)
	}
	return w.Flush()
}

func plainOr(v json.RawMessage, none string) string {
	if len(v) == 0 {
		return none
	}
	return clip(plain(v))
}

// difference is what a number grew by, or the value before.
func difference(before, after json.RawMessage) string {
	var a, b json.Number
	if json.Unmarshal(before, &a) == nil && json.Unmarshal(after, &b) == nil {
		x, err1 := a.Int64()
		y, err2 := b.Int64()
		if err1 == nil && err2 == nil {
			return fmt.Sprintf("%+d", y-x)
		}
	}
	if len(before) == 0 {
		return "new"
	}
	return "was " + plainOr(before, "–")
}

// changed names the fields that a change of a record changed.
func changed(before, after map[string]json.RawMessage) string {
	switch {
	case before == nil:
		return "created"
	case after == nil:
		return "deleted"
	}
	var names []string
	for name, v := range after {
		if name != "updated" && name != "version" && !bytes.Equal(before[name], v) {
			names = append(names, name+" → "+plainOr(v, "–"))
		}
	}
	return clip(strings.Join(names, ", "))
}

// whyRule explains a rule itself.
func (c *command) whyRule(ctx context.Context, name string) error {
	compiled, err := c.compile()
	if err != nil {
		return err
	}
	r, err := serve.FindRule(compiled, name)
	if err != nil {
		return err
	}
	if c.json {
		return c.print(r)
	}
	fmt.Fprintf(c.out, "rule %s  %s\n\n  %s\n\n", r.Name, r.Place, r.Source)
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if len(r.Reads) > 0 {
		fmt.Fprintf(w, "looks up\t%s\n", strings.Join(r.Reads, ", "))
	}
	if r.Query != "" {
		fmt.Fprintf(w, "as a query\t%s\n", r.Query)
	} else {
		fmt.Fprintf(w, "as a query\tno: %s\n", r.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	yes, no := c.verdicts(r.Name)
	fmt.Fprintf(c.out, "%s yes, %s no, in the requests that are kept\n", fmt.Sprint(yes), fmt.Sprint(no))
	return ctx.Err()
}

// verdictsMax is how many of the last requests are looked through.
const verdictsMax = 20_000

// verdicts counts how a rule decided in the requests that are kept.
func (c *command) verdicts(rule string) (yes, no int) {
	list, err := observe.OpenJourneys(c.config.Journeys()).Recent(verdictsMax)
	if err != nil {
		return 0, 0
	}
	for _, j := range list {
		for _, r := range j.Rules {
			switch {
			case r.Rule != rule:
			case r.Yes:
				yes++
			default:
				no++
			}
		}
	}
	return yes, no
}
