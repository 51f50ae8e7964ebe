package socket_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// events is a stream of Server-Sent Events, as a client has it.
type events struct {
	t    testing.TB
	r    *bufio.Reader
	id   string
	stop context.CancelFunc
}

// event is one event, with the id that the stream then has.
type event struct {
	id   string
	data map[string]any
}

// events opens a stream; last is the id of the last event, "" for none.
func (p *person) events(path, last string) *events {
	p.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p.w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", p.w.base+path, nil)
	if err != nil {
		p.w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.w.t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		p.w.t.Fatalf("the stream is %v", res)
	}
	p.w.t.Cleanup(func() { _ = res.Body.Close() })
	return &events{t: p.w.t, r: bufio.NewReader(res.Body), stop: cancel}
}

// next reads an event; false at the end of the stream.
func (e *events) next() (event, bool) {
	e.t.Helper()
	var data string
	for {
		l, err := e.r.ReadString('\n')
		if err != nil {
			return event{}, false
		}
		l = strings.TrimSuffix(l, "\n")
		name, value, _ := strings.Cut(l, ": ")
		switch {
		case name == "id":
			e.id = value
		case name == "data":
			data += value
		case l == "" && data != "":
			var out map[string]any
			if err := json.Unmarshal([]byte(data), &out); err != nil {
				e.t.Fatalf("an event is no JSON: %s", data)
			}
			return event{e.id, out}, true
		}
	}
}

func TestEventsResume(t *testing.T) {
	w := open(t, board)
	ana := w.signUp("ana")
	ana.make("cards", `{"title":"a"}`)
	const path = "/api/events?follow=cards&filter=position%20%3C%2010.0&follow=news&sort=-created&limit=10"
	s := ana.events(path, "")
	for range 2 {
		if e, ok := s.next(); !ok || e.data["items"] == nil {
			t.Fatalf("a snapshot is %v", e)
		}
	}
	news := ana.make("news", `{"text":"one"}`)
	e, _ := s.next()
	if got := text(e.data["changes"]); !strings.Contains(got, news) || e.data["sub"] != "s2" {
		t.Fatalf("the event is %v", e)
	}
	s.stop()
	// While nobody listens.
	card := ana.make("cards", `{"title":"b"}`)
	ana.make("cards", `{"title":"far","position":50}`)
	second := ana.make("news", `{"text":"two"}`)
	s = ana.events(path, e.id)
	got := map[string]string{}
	for range 2 {
		e, ok := s.next()
		if !ok || e.data["items"] != nil {
			t.Fatalf("what was missed is %v", e)
		}
		got[e.data["sub"].(string)] = text(e.data["changes"])
	}
	if c := got["s1"]; !strings.Contains(c, card) || strings.Count(c, "put") != 1 {
		t.Errorf("of cards was missed %s", c)
	}
	if c := got["s2"]; !strings.Contains(c, second) || strings.Contains(c, news) {
		t.Errorf("of news was missed %s", c)
	}
}

func TestStreamsThatCannotBegin(t *testing.T) {
	w := open(t, board)
	ana := w.signUp("ana")
	for _, c := range []struct {
		query, last string
		status      int
		word        string
	}{
		{"", "", 400, "follow"},
		{"?filter=true", "", 400, "follow"},
		{"?follow=nothing", "", 404, ""},
		{"?follow=cards&filter=position%20%3C", "", 400, ""},
		{"?follow=cards&limit=1&limit=2", "", 400, "more than once"},
		{"?follow=cards&filter=%zz", "", 400, "URL-encoded"},
		{"?follow=cards&filter=%ff", "", 400, "URL-encoded"},
		{"?follow=cards&filter=a;b", "", 400, "URL-encoded"},
		{"?follow=cards&filter=a%00", "", 400, "URL-encoded"},
		{"?follow=cards&nothing=1", "", 400, ""},
		{"?follow=cards", "a,b", 400, "Last-Event-ID"},
		{"?" + strings.Repeat("follow=news&", 201), "", 429, "200"},
		{"?follow=" + strings.Repeat("x", 9000), "", 413, "8192"},
	} {
		headers := []string{}
		if c.last != "" {
			headers = []string{"Last-Event-ID", c.last}
		}
		status, p := ana.do("GET", "/api/events"+c.query, "", headers...)
		if status != c.status || !strings.Contains(text(p["detail"]), c.word) {
			t.Errorf("%.60s is %d %v, want %d with %q", c.query, status, p, c.status, c.word)
		}
	}
	if status, _ := ana.do("HEAD", "/api/events?follow=cards", ""); status != 400 {
		t.Errorf("HEAD is %d", status)
	}
}
