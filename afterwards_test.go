package galley_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/action/actiontest/testdata/twins"
	"github.com/galleybackend/galley/internal/action/goaction"
	"github.com/galleybackend/galley/internal/action/tsaction"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/value"
)

// provider answers every address as a server does.
type provider struct{ *httptest.Server }

func (p provider) RoundTrip(r *http.Request) (*http.Response, error) {
	at, err := url.Parse(p.URL)
	if err != nil {
		return nil, err
	}
	r.URL.Host = at.Host
	return http.DefaultTransport.RoundTrip(r)
}

// jobTwin is the program of one language with the runner of its jobs.
func jobTwin(t *testing.T, s *spec.Spec, language string) (action.Program, action.Runner) {
	t.Helper()
	if language == "go" {
		g := galley.New(nil)
		twins.Register(g)
		return g.Program(), goaction.Runner{}
	}
	p, found := tsaction.Load(os.DirFS(twinsDir), s)
	if spec.Failed(found) {
		t.Fatal(found)
	}
	return p, tsaction.Runner{}
}

// TestJobsAreTwins runs each job in both languages, again and again from its top, as after
// crashes, and wants the same of both.
func TestJobsAreTwins(t *testing.T) {
	s, findings := appfile.Load(twinsDir)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	stop := fmt.Errorf("the node is gone")
	kept := new(spec.Spec)
	*kept = *s
	kept.Collections = slices.Clone(s.Collections)
	for i, c := range kept.Collections {
		if c.Name == spec.Users {
			// The fields of the house that users have beside those of all records.
			users := *c
			users.Fields = append(c.All()[spec.SlotFirst:spec.SlotFirst+2:spec.SlotFirst+2], c.Fields...)
			kept.Collections[i] = &users
		}
	}
	for name, c := range map[string]struct {
		statuses []int
		event    string
		stops    []string
		want     string
	}{
		"at once":                {[]int{200}, `{"n":3}`, nil, "done"},
		"a wait in vain":         {[]int{200}, "", nil, "done"},
		"declined":               {[]int{402}, "", nil, "failed declined"},
		"tried again":            {[]int{503, 500, 200}, "", nil, "retried retried done"},
		"stopped at every place": {[]int{200}, "", []string{"pay", "a while", "webhook:paid", "credit"}, "stopped stopped stopped stopped done"},
	} {
		t.Run(name, func(t *testing.T) {
			var all []string
			for _, language := range languages {
				var asked []string
				n := 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = r.ParseForm()
					asked = append(asked, r.Method+r.URL.Path+r.Form.Encode()+r.Header.Get("Authorization")+
						r.Header.Get("Idempotency-Key"))
					w.WriteHeader(c.statuses[min(n, len(c.statuses)-1)])
					n++
					fmt.Fprint(w, `{"id":"p1"}`)
				}))
				p, runner := jobTwin(t, s, language)
				h := actiontest.NewMemory(kept)
				user := h.Add("users", "name", value.OfText("Ana"), "wallet", value.OfInt(5),
					"email", value.OfText("ana@example.com"))
				steps := &actiontest.Steps{Host: h, Client: &http.Client{Transport: provider{server}},
					Secrets: map[string]string{"PAY_KEY": "s3cret"}, Events: map[string]value.Value{}}
				if c.event != "" {
					steps.Events["webhook:paid"] = value.OfJSON(c.event)
				}
				in := value.NewRecord(s.Job("credit").Input)
				in.Set("user", value.OfText(string(user)))
				in.Set("amount", value.OfInt(7))
				run := action.Run{Name: "jobs/credit", Input: in,
					Bounds: action.Bounds{Time: 20 * time.Second, Memory: 256 << 20}}
				var ends []string
				for try := range 6 {
					steps.Stop = map[string]error{}
					if try < len(c.stops) {
						steps.Stop[c.stops[try]] = stop
					}
					_, err := runner.RunJob(t.Context(), p, run, steps)
					ends = append(ends, endOf(err, stop))
					if last := ends[len(ends)-1]; last == "done" || strings.HasPrefix(last, "failed") {
						break
					}
					steps.Again()
				}
				server.Close()
				if got := strings.Join(ends, " "); got != c.want {
					t.Errorf("%s: it ended as %s, want %s", language, got, c.want)
				}
				var rows []string
				for _, collection := range []string{"users", "logs"} {
					for _, r := range h.Rows(collection) {
						rows = append(rows, recordText(r))
					}
				}
				all = append(all, strings.Join(slices.Concat(asked, steps.Notes, rows), "\n"))
			}
			if all[0] != all[1] {
				t.Errorf("the languages differ\n%s\n\n%s", all[0], all[1])
			}
		})
	}
}

// endOf tells how a run of a job ended.
func endOf(err, stop error) string {
	failure, failed := err.(*action.Failure)
	switch {
	case err == nil:
		return "done"
	case err == stop:
		return "stopped"
	case failed:
		return "failed " + failure.Fault.CodeOr()
	case fault.Is(err, fault.Internal):
		return "retried"
	}
	return err.Error()
}

// TestWebhooksAndRoutesAreTwins asks both languages the same, and wants the same journal.
func TestWebhooksAndRoutesAreTwins(t *testing.T) {
	var all []string
	for _, language := range languages {
		w := newTwin(t, nil, "sqlite", language, true)
		event := engine.Event{Webhook: "paid", ID: "evt_1", Body: `{"n":5}`, Headers: `{"x-a":"b"}`, Raw: `{"n":5}`}
		for range 2 {
			if _, err := w.engine.Take(t.Context(), engine.Call{ID: "call"}, event); err != nil {
				t.Fatal(err, fault.From(err).Cause)
			}
		}
		var said []string
		for _, query := range []string{"q=1", "q=2&loud=true"} {
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			if values.Has("loud") {
				values.Del("q") // what is typed knows no other
			} else {
				values = url.Values{}
			}
			a, err := w.engine.Query(t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Route,
				Target: "greet", Request: engine.Request{Method: "GET"}, Web: &engine.Web{
					Pattern: "GET /greet/{name}", Path: "/greet/Bo", Params: map[string]string{"name": "Bo"},
					Query: values, Header: http.Header{"X-A": {"b"}}}})
			if err != nil {
				t.Fatal(err, fault.From(err).Cause)
			}
			var out struct {
				Status  int
				Headers map[string]any
				Body    string
			}
			if err := json.Unmarshal(value.AppendJSON(nil, a.Output), &out); err != nil {
				t.Fatal(err)
			}
			out.Body = strings.ReplaceAll(strings.ReplaceAll(out.Body, "undefined", ""), "UNDEFINED", "")
			said = append(said, fmt.Sprint(out))
		}
		all = append(all, w.journal()+strings.Join(said, "\n"))
	}
	if all[0] != all[1] {
		t.Errorf("the languages differ\n%s\n\n%s", all[0], all[1])
	}
	for _, want := range []string{"evt_1 5 b 7", "hello Bo  b GET", "HELLO BO  B GET", "text/plain"} {
		if !strings.Contains(all[0], want) {
			t.Errorf("there is no %q in\n%s", want, all[0])
		}
	}
}
