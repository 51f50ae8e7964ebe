package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/value"
)

var (
	aboutRecord = regexp.MustCompile(`^([a-z][a-z0-9_]*)/([0-7][0-9a-z]{25})(?:\.([a-z][a-z0-9_]*))?$`)
	aboutRule   = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
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
			if aboutRule.MatchString(args[0]) || strings.HasPrefix(args[0], "channels.") {
				return c.whyRule(cmd.Context(), args[0])
			}
			if strings.Contains(args[0], "/") {
				return wrong("%q is no record: it is collection/id or collection/id.field, "+
					"and an id has 26 characters", args[0])
			}
			return c.whyRequest(cmd.Context(), args[0])
		},
	}
}

// whyRequest tells the journey of a request, which the server wrote to its folder.
func (c *command) whyRequest(ctx context.Context, id string) error {
	j, err := observe.OpenJourneys(c.config.Journeys()).Await(ctx, id)
	if errors.Is(err, observe.ErrJourney) {
		return fmt.Errorf("no request %s is kept in %s; the last ones are, refusals longest",
			id, c.config.Journeys())
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
	fmt.Fprintf(c.out, "%s %s  %d %s  %s  %s\n", j.Method, j.Path, j.Status, outcome,
		c.people(ctx, j.Who)[j.Who], j.At.Local().Format("2 Jan 15:04:05"))
	if len(j.Stages) > 0 {
		var said []string
		for _, s := range j.Stages {
			said = append(said, fmt.Sprintf("%s %.2f", s.Name, ms(s.Took)))
		}
		line := fmt.Sprintf("%.2f ms: %s", ms(j.Took), strings.Join(said, " · "))
		fmt.Fprintln(c.out, c.dim(line))
	}
	c.verdict(j.Rules)
	for _, f := range j.Findings {
		fmt.Fprintln(c.out, c.red("✗"), f)
	}
	for _, l := range j.Logs {
		fmt.Fprintln(c.out, "log", l)
	}
	if j.Cause != "" {
		fmt.Fprintf(c.out, "\n%s %s\n", c.red("cause"), j.Cause)
	}
	return nil
}

// verdict writes the rules that were asked: those that said no with the values that
// made them do so, the others once each.
func (c *command) verdict(rules []observe.JourneyRule) {
	times := map[string]int{}
	for _, r := range rules {
		if r.Yes && !r.Query {
			times[r.Rule]++
		}
	}
	for _, r := range rules {
		mark, more := c.green("✓"), ""
		switch n := times[r.Rule]; {
		case r.Query && r.Yes:
			more = "  for each record that was found"
		case r.Query:
			mark, more = c.red("✗"), "  for every record, whichever it is"
		case !r.Yes:
			mark = c.red("✗")
		case n == 0:
			continue // it was told
		case n > 1:
			more = fmt.Sprintf("  %d times", n)
			fallthrough
		default:
			times[r.Rule] = 0
		}
		fmt.Fprintf(c.out, "%s rule %s  %s%s\n", mark, r.Rule, c.place(r.Place), more)
		if r.Tree != "" {
			fmt.Fprintln(c.out, indent(r.Tree))
		}
	}
}

// place is a place in the app's files as it can be opened from here.
func (c *command) place(at string) string {
	if dir := filepath.Clean(c.config.AppDir()); dir != "." && at != "" {
		return filepath.Join(dir, at)
	}
	return at
}

// people returns subjects as people call them: users by their address, where it can
// be found out.
func (c *command) people(ctx context.Context, subjects ...string) map[string]string {
	names := make(map[string]string, len(subjects))
	var door *serve.Door
	for _, who := range subjects {
		names[who] = who
		id, ok := strings.CutPrefix(who, "users/")
		if !ok || len(names) > peopleMax {
			continue
		}
		if door == nil {
			var err error
			if door, err = serve.Dial(ctx, c.serveConfig()); err != nil {
				return names // the ids will do
			}
			defer door.Close()
		}
		var user struct{ Email string }
		text, err := c.askDoor(ctx, door, "/local/user/"+url.PathEscape(id))
		if err == nil && json.Unmarshal(text, &user) == nil && user.Email != "" {
			names[who] = user.Email
		}
	}
	return names
}

// peopleMax is how many people are looked up for one answer.
const peopleMax = 100

func (c *command) askDoor(ctx context.Context, door *serve.Door, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://galley"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := door.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(io.LimitReader(res.Body, 1<<20))
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
	if err := c.knownField(collection, field); err != nil {
		return err
	}
	q := url.Values{"collection": {collection}, "id": {id}}
	var found []told
	err := c.local(ctx, "/local/journal?"+q.Encode(), func(line []byte) error {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		for _, x := range e.Changes {
			before, after := x.Before[field], x.After[field]
			if x.Collection != collection || x.ID != id ||
				field != "" && bytes.Equal(before, after) {
				continue
			}
			what := changed(x.Before, x.After)
			if field != "" {
				what = plainOr(after, "–") + "\t" + difference(before, after)
			}
			found = append(found, told{e, what, bytes.Clone(line)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		what := collection + "/" + id
		if field != "" {
			what += "." + field
		}
		return fmt.Errorf("the journal has no change of %s", what)
	}
	return c.showTold(ctx, found)
}

// told is an entry with what it did to the value that was asked for.
type told struct {
	entry
	what string
	line []byte
}

func (c *command) showTold(ctx context.Context, found []told) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	var who []string
	for _, t := range found {
		who = append(who, t.Subject)
	}
	if c.json {
		for _, t := range found {
			if _, err := fmt.Fprintf(c.out, "%s\n", t.line); err != nil {
				return err
			}
		}
		return nil
	}
	names := c.people(ctx, who...)
	for _, t := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.what, t.At.Local().Format("2 Jan 15:04:05"),
			t.Operation, names[t.Subject], t.Call)
	}
	return w.Flush()
}

// knownField refuses a collection or a field that the app does not have. What an
// earlier app had is still in the journal, and is not asked for by a wrong name.
func (c *command) knownField(collection, field string) error {
	compiled := serve.Compile(c.serveConfig())
	if compiled.Spec == nil || compiled.Failed() || compiled.App == nil {
		return nil
	}
	known := compiled.App.Collection(collection)
	if known == nil {
		return errors.New(c.unknown("/api/" + collection))
	}
	if _, ok := known.Shape.Index(field); ok || field == "" {
		return nil
	}
	if near := value.Nearest(field, known.Shape.Names()); near != "" {
		return fmt.Errorf("%s has no field %q. Did you mean %s?", collection, field, near)
	}
	return fmt.Errorf("%s has no field %q; it has: %s", collection, field,
		strings.Join(known.Shape.Names(), ", "))
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
	fmt.Fprintf(c.out, "rule %s  %s\n\n  %s\n\n", r.Name, c.place(r.Place), r.Source)
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
	fmt.Fprintf(c.out, "%d yes, %d no, in the requests that are kept\n", yes, no)
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
