package galley_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/internal/fault"
)

const counters = `app: counters

collections:
  counters:
    fields:
      name: {type: string, unique: true}
      count: {type: int, default: 0}
    check:
      too_many: record.count <= 3
    allow:
      read: true

actions:
  count:
    allow: true
    input:
      name: string
      by: {type: int, min: 1}
    output: {count: int}

errors:
  unlucky: This number is not counted.
`

type countInput struct {
	Name string
	By   int64
}

type countOutput struct{ Count int64 }

// counter is a record of counters, written by hand, as a program may that generates
// nothing.
type counter struct {
	ID      galley.ID[counter]
	Created time.Time
	Updated time.Time
	Version int64
	Name    string
	Count   int64
}

func count(tx *galley.Tx, in countInput) (out countOutput, err error) {
	if in.By == 13 {
		return out, galley.Refuse("unlucky", "number", in.By)
	}
	table := galley.Collection[counter](tx, "counters")
	c, err := table.First(galley.Fields{"name": in.Name})
	if err != nil {
		return out, err
	}
	if c == nil {
		made, err := table.Insert(counter{Name: in.Name})
		if err != nil {
			return out, err
		}
		c = &made
	}
	stored, err := table.Patch(c.ID, galley.Fields{"count": galley.Add(in.By)})
	return countOutput{stored.Count}, err
}

// open opens an app over files for a test, with a server before it.
func open(t *testing.T, g *galley.App) *httptest.Server {
	t.Helper()
	s, err := g.Open(t.Context(), galley.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func post(t *testing.T, url, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func files(text string) fstest.MapFS {
	return fstest.MapFS{"galley.yaml": {Data: []byte(text)}}
}

func TestActionInGoIsServed(t *testing.T) {
	g := galley.New(files(counters))
	galley.Action(g, "count", count)
	url := open(t, g).URL + "/api/actions/count"
	for i, c := range []struct {
		key, body string
		status    int
		want      string
	}{
		{"a", `{"name":"x","by":2}`, 200, `{"count":2}`},
		{"a", `{"name":"x","by":2}`, 200, `{"count":2}`},
		{"b", `{"name":"x","by":1}`, 200, `{"count":3}`},
		{"c", `{"name":"x","by":1}`, 409, `"code":"too_many"`},
		{"d", `{"name":"x","by":13}`, 409, `"code":"unlucky"`},
		{"e", `{"name":"x","by":0}`, 422, `"code":"invalid_input"`},
		{"f", `{"name":"y","by":3}`, 200, `{"count":3}`},
	} {
		status, body := post(t, url, c.key, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("call %d: got %d %s\nwant %d %s", i, status, body, c.status, c.want)
		}
	}
}

func TestMismatchStopsTheStartWithBothPlaces(t *testing.T) {
	g := galley.New(files(strings.Replace(counters, "by: {type: int", "by: {type: float", 1)))
	galley.Action(g, "count", count)
	_, err := g.Open(t.Context(), galley.Config{Data: t.TempDir()})
	if err == nil {
		t.Fatal("the app starts")
	}
	for _, want := range []string{"galley.yaml:18 says by is float; galley_test.go:", " has int64"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

func TestActionWithoutCodeStopsTheStart(t *testing.T) {
	_, err := galley.New(files(counters)).Open(t.Context(), galley.Config{Data: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "no code for the action count") {
		t.Errorf("got %v", err)
	}
}

func TestCodeOfErrors(t *testing.T) {
	err := fmt.Errorf("on the way: %w", galley.Refuse("unlucky"))
	if galley.Code(err) != "unlucky" || galley.Code(errors.New("x")) != "" || galley.Code(nil) != "" {
		t.Error(galley.Code(err))
	}
	if galley.Code(galley.Refuse("not_found")) != "not_found" {
		t.Error("a code of the house is lost")
	}
}

// Example is a whole program: its app file is embedded, its action is in Go.
func Example() {
	app := galley.New(files(counters))
	galley.Action(app, "count", func(tx *galley.Tx, in countInput) (countOutput, error) {
		return count(tx, in)
	})
	app.Main()
}

func TestRefusalsKnowTheirLine(t *testing.T) {
	var f *fault.Fault
	if err := galley.Refuse("closed"); !errors.As(err, &f) ||
		!strings.HasPrefix(f.Line, "galley_test.go:") {
		t.Errorf("got %+v", f)
	}
}
