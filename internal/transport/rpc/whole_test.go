package rpc_test

import (
	"fmt"
	"testing"
)

// only is the one item of what a stream says next.
func (s *stream) only(field string) any {
	s.t.Helper()
	got, err := s.next()
	if err != nil {
		s.t.Fatal(err)
	}
	items, _ := got["items"].([]any)
	if got["at"] == nil || len(items) != 1 {
		s.t.Fatalf("the stream says %v", got)
	}
	return items[0].(map[string]any)[field]
}

func TestAViewAndAnAggregateAreFollowed(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	ana.do("Things/Create", `{"name":"x","price":"5"}`, "Idempotency-Key", "k")
	for i, protocol := range []string{"grpc", "connect"} {
		p := w.person(protocol)
		p.token = ana.token
		view := p.follow("States/Follow", `{}`)
		sums := p.follow("Things/FollowAggregate", `{"select":["n:count()"]}`)
		before := []string{fmt.Sprint(view.only("n")), fmt.Sprint(sums.only("columns"))}
		ana.do("Things/Create", `{"name":"x","price":"5"}`, "Idempotency-Key", fmt.Sprint("k", i))
		after := []string{fmt.Sprint(view.only("n")), fmt.Sprint(sums.only("columns"))}
		n := fmt.Sprint(i + 2)
		if after[0] != n || after[1] != "map[n:map[int_value:"+n+"]]" {
			t.Errorf("%s: %v became %v, want %s", protocol, before, after, n)
		}
	}
}
