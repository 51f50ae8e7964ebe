package socket_test

import (
	"fmt"
	"testing"
)

// counted is the board with views.
const counted = board + `views:
  told: {from: news, fields: {n: count()}, allow: true}
  own: {from: cards, where: record.owner == auth, fields: {n: count()}, allow: auth != null}
`

// n is the only column of the only row of what was told.
func n(told map[string]any) any {
	items, _ := told["items"].([]any)
	if len(items) != 1 {
		return told
	}
	return items[0].(map[string]any)["n"]
}

func TestViewsAndAggregatesAreFollowed(t *testing.T) {
	w := open(t, counted)
	ana, bo := w.signUp("ana"), w.signUp("bo")
	for _, follow := range []string{`"follow":"own"`,
		`"follow":"cards/aggregate","select":"n:count()","filter":"position < 100.0"`} {
		l := ana.dial()
		ok, _ := l.ask("{" + follow + "}")["ok"].(map[string]any)
		if ok["sub"] != "s1" || ok["at"] == nil || ok["reset"] != nil {
			t.Fatalf("%s is %v", follow, ok)
		}
		before := n(ok).(float64)
		bo.make("cards", `{"title":"not ana's"}`)
		ana.make("cards", `{"title":"mine"}`)
		p := l.push()
		if p["sub"] != "s1" || p["reset"] != true || p["at"] == nil || n(p) != before+1 {
			t.Errorf("the push is %v after %v", p, ok)
		}
		again, _ := l.ask(fmt.Sprintf(`{%s,"since":%q}`, follow, ok["at"]))["ok"].(map[string]any)
		if again["reset"] != true || n(again) != before+1 {
			t.Errorf("since is %v", again)
		}
	}
	for follow, status := range map[string]float64{`"follow":"told","filter":"n > 1"`: 400,
		`"follow":"cards/aggregate"`: 400, `"follow":"none/aggregate","select":"n:count()"`: 404} {
		if got := ana.dial().ask("{" + follow + "}"); got["status"] != status {
			t.Errorf("%s is %v, want %v", follow, got, status)
		}
	}
}

func TestEventsOfAView(t *testing.T) {
	w := open(t, counted)
	ana := w.signUp("ana")
	path := "/api/events?follow=told&follow=news&follow=cards/aggregate&select=n:count()"
	s := ana.events(path, "")
	for i, want := range []string{"s1", "s2", "s3"} {
		if e, ok := s.next(); !ok || e.data["sub"] != want || i != 1 && n(e.data) != 0.0 {
			t.Fatalf("event %d is %v", i, e)
		}
	}
	ana.make("news", `{"text":"x"}`)
	told := map[any]event{}
	for len(told) < 2 {
		e, ok := s.next()
		if !ok {
			t.Fatal("the stream is over")
		}
		told[e.data["sub"]] = e
	}
	if a, b := told["s1"], told["s2"]; n(a.data) != 1.0 || b.data["changes"] == nil {
		t.Errorf("told %v", told)
	}
	s.stop()
	again := ana.events(path, s.id)
	if e, ok := again.next(); !ok || e.data["reset"] != true || n(e.data) != 1.0 {
		t.Errorf("who comes back is told %v", e)
	}
	if e, ok := again.next(); !ok || e.data["reset"] != nil || e.data["changes"] == nil {
		t.Errorf("and of the list %v", e)
	}
}
