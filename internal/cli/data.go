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
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/value"
)

// as holds the flags of commands that ask as somebody.
type as struct {
	who    string
	dryRun bool
	key    string
}

func (a *as) flags(cmd *cobra.Command, writes bool) {
	cmd.Flags().StringVar(&a.who, "as", "",
		"ask as this user (email or id) or as anonymous; default an admin, whom no allow binds")
	if writes {
		cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "do everything but the commit")
		cmd.Flags().StringVar(&a.key, "key", "", "idempotency key (default a fresh one)")
	}
}

// ask sends a request through the local door: to the server that runs on this data
// folder, or to the app opened in this process if none runs.
func (c *command) ask(ctx context.Context, a as, method, path string, body any) (
	*http.Response, error) {
	door, err := serve.Dial(ctx, c.serveConfig())
	if err != nil {
		return nil, c.opening(err)
	}
	defer door.Close()
	var text []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		text = b
	default:
		if text, err = json.Marshal(b); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://galley"+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.who != "" {
		req.Header.Set(serve.HeaderAs, a.who)
	}
	if a.dryRun {
		req.Header.Set(serve.HeaderDryRun, "1")
	}
	if method != http.MethodGet {
		if a.key == "" {
			a.key = uuid.NewString()
		}
		req.Header.Set("Idempotency-Key", a.key)
	}
	res, err := door.Do(req)
	if err != nil {
		return nil, err
	}
	// The whole answer is read before the door closes.
	all, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // nothing is lost: the body was read
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(all))
	if res.StatusCode >= 400 {
		return nil, c.refused(a, path, all, res.StatusCode)
	}
	return res, nil
}

// refused is the error of an answer that is a problem. What is not there is compared
// with the names that are: whoever may open the data folder may know them.
func (c *command) refused(a as, path string, text []byte, status int) error {
	err := c.problem(text, status)
	f := faultOf(err)
	switch {
	case f == nil:
	case f.Code == "not_found":
		if said := c.unknown(path); said != "" {
			f.Message = said
		}
	case f.Code == "internal" && a.who == "" && strings.HasPrefix(path, "/api/actions/"):
		f.Message += "\n  the action ran as an admin, who is no user; as one:  --as EMAIL"
	}
	return err
}

// unknown says which collection or action a path should have named, "" if it names
// one that is there.
func (c *command) unknown(path string) string {
	compiled := serve.Compile(c.serveConfig())
	if compiled.Spec == nil {
		return ""
	}
	path, _, _ = strings.Cut(strings.TrimPrefix(path, "/api/"), "?")
	kind, names := "collection", []string{}
	name, _, _ := strings.Cut(path, "/")
	if rest, ok := strings.CutPrefix(path, "actions/"); ok {
		kind, name = "action", rest
		for _, x := range compiled.Spec.Actions {
			names = append(names, x.Name)
		}
	} else {
		for _, x := range compiled.Spec.Collections {
			names = append(names, x.Name)
		}
	}
	switch near := value.Nearest(name, names); {
	case slices.Contains(names, name):
		return ""
	case near != "":
		return fmt.Sprintf("There is no %s %q. Did you mean %s?", kind, name, near)
	case len(names) == 0:
		return fmt.Sprintf("There is no %s %q; the app has none.", kind, name)
	}
	return fmt.Sprintf("There is no %s %q; there are: %s.", kind, name, strings.Join(names, ", "))
}

// problem turns a problem document into an error for the terminal.
func (c *command) problem(text []byte, status int) error {
	var p struct {
		Title, Detail, Code, Request, Error string
		Errors                              []struct{ Pointer, Detail string }
	}
	if json.Unmarshal(text, &p) == nil && p.Error != "" {
		return errors.New(p.Error)
	}
	if p.Code == "" {
		return fmt.Errorf("%d: %s", status, bytes.TrimSpace(text))
	}
	message := p.Code + ": " + p.Title
	if p.Detail != "" {
		message += "\n  " + p.Detail
	}
	for _, e := range p.Errors {
		message += "\n  " + e.Pointer + "  " + e.Detail
	}
	if p.Request != "" {
		message += "\n  why:  galley why " + p.Request + c.folders()
	}
	return &fault.Fault{Kind: fault.Refused, Code: p.Code, Message: message}
}

func (c *command) get() *cobra.Command {
	var a as
	params := map[string]*string{}
	var total bool
	cmd := &cobra.Command{
		Use: "get <collection> [id]", Short: "Read records, as an admin or as somebody",
		GroupID: groupWeek, Args: cobra.RangeArgs(1, 2),
		Example: "  galley get orders --filter 'total > 5000' --as ana@example.com --limit 3\n" +
			"  galley get products 01k9…",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, q := "/api/"+url.PathEscape(args[0]), url.Values{}
			if len(args) == 2 {
				path += "/" + url.PathEscape(args[1])
			}
			for name, v := range params {
				if *v != "" {
					q.Set(name, *v)
				}
			}
			if total {
				q.Set("total", "true")
			}
			if len(q) > 0 {
				path += "?" + q.Encode()
			}
			res, err := c.ask(cmd.Context(), a, http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			return c.show(res, len(args) == 1)
		},
	}
	abouts := map[string]string{
		"filter": "CEL over the fields, such as 'price <= 5000 && listed'",
		"sort":   "fields to sort by, - for descending: -created,name",
		"limit":  "number of records, at most 500",
		"cursor": "the next of an earlier answer", "fields": "fields to show: id,name",
		"expand": "relations to expand: customer",
	}
	for name, about := range abouts {
		params[name] = cmd.Flags().String(name, "", about)
	}
	cmd.Flags().BoolVar(&total, "total", false, "count all that match")
	a.flags(cmd, false)
	return cmd
}

// show prints an answer: as it came with --json, one record a line; else as a table,
// or as a record of one field a line.
func (c *command) show(res *http.Response, list bool) error {
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return nil
	}
	if !list {
		if c.json {
			_, err := fmt.Fprintf(c.out, "%s\n", text)
			return err
		}
		return c.fields(text)
	}
	var page struct {
		Items []json.RawMessage
		Next  string
		Total *int64
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return err
	}
	if c.json {
		for _, item := range page.Items {
			if _, err := fmt.Fprintf(c.out, "%s\n", item); err != nil {
				return err
			}
		}
	} else if err := c.table(page.Items); err != nil {
		return err
	}
	if page.Total != nil {
		c.say("%d in all", *page.Total)
	}
	if page.Next != "" {
		c.say("more:  --cursor %s", page.Next)
	}
	return nil
}

func (c *command) set() *cobra.Command {
	var a as
	cmd := &cobra.Command{
		Use:   "set <collection>[/<id>] <field=value…|json>",
		Short: "Change a record, or create one", GroupID: groupMore,
		Args: cobra.MinimumNArgs(2),
		Example: "  galley set products/01k9… price=500 listed=true\n" +
			"  galley set products '{\"name\":\"Pen\",\"price\":120}' --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := bodyOf(args[1:])
			if err != nil {
				return err
			}
			collection, id, one := strings.Cut(args[0], "/")
			method, path := http.MethodPost, "/api/"+url.PathEscape(collection)
			if one {
				method, path = http.MethodPatch, path+"/"+url.PathEscape(id)
			}
			res, err := c.ask(cmd.Context(), a, method, path, body)
			if err != nil {
				return err
			}
			return c.done(res, a)
		},
	}
	a.flags(cmd, true)
	return cmd
}

// bodyOf reads arguments as one JSON object, or as fields: a value that is JSON is
// taken as such, any other as text.
func bodyOf(args []string) ([]byte, error) {
	if len(args) == 1 && strings.HasPrefix(strings.TrimSpace(args[0]), "{") {
		if !json.Valid([]byte(args[0])) {
			return nil, wrong("the fields are not JSON: %s", args[0])
		}
		return []byte(args[0]), nil
	}
	fields := map[string]json.RawMessage{}
	for _, arg := range args {
		name, v, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, wrong("%q is not field=value, such as price=500", arg)
		}
		if json.Valid([]byte(v)) {
			fields[name] = json.RawMessage(v)
		} else {
			q, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			fields[name] = q
		}
	}
	return json.Marshal(fields)
}

func (c *command) call() *cobra.Command {
	var a as
	cmd := &cobra.Command{
		Use: "call <action> [json]", Short: "Run an action, as an admin or as somebody",
		GroupID: groupWeek, Args: cobra.RangeArgs(1, 2),
		Example: `  galley call checkout '{"items":[{"product":"01k9…","quantity":1}]}'` +
			` --as bo@example.com --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			body := []byte("{}")
			if len(args) == 2 {
				body = []byte(args[1])
			}
			if !json.Valid(body) {
				return wrong("the input is not JSON; put it in quotes: "+
					`galley call %s '{"name": "value"}'`, args[0])
			}
			path := "/api/actions/" + url.PathEscape(args[0])
			res, err := c.ask(cmd.Context(), a, http.MethodPost, path, body)
			if err != nil {
				return err
			}
			return c.done(res, a)
		},
	}
	a.flags(cmd, true)
	return cmd
}

// done prints what a write answered, and whether it was kept.
func (c *command) done(res *http.Response, a as) error {
	if err := c.show(res, false); err != nil {
		return err
	}
	switch {
	case a.dryRun:
		c.say("Dry run: nothing was kept.")
	case res.Header.Get("Idempotent-Replayed") != "":
		c.say("Replayed: this is the answer of the first call with this key.")
	}
	if id := res.Header.Get("Request-Id"); id != "" {
		c.say("why:  galley why %s%s", id, c.folders())
	}
	return nil
}
