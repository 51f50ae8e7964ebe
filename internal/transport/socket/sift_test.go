package socket

import (
	"testing"

	"github.com/galleybackend/galley/internal/follow/live"
)

func TestPushesOfWhatWasLeftWaitForNothing(t *testing.T) {
	c := &conn{known: map[string]struct{}{"s1": {}, "s2": {}}, following: 1}
	w := &writer{conn: c}
	c.forget("s1") // its pushes were taken, and another subscription is being begun
	got := w.sift([]live.Push{{Sub: "s1", At: "e:1"}, {Sub: "s2", At: "e:1"}})
	if len(got) != 2 || got[0].At != "" || got[1].At == "" || len(w.early) > 0 {
		t.Errorf("got %v, and %d wait", got, len(w.early))
	}
	got = w.sift([]live.Push{{Sub: "s3", At: "e:2"}, {Sub: "s2", At: "e:2"}})
	if len(got) != 0 || len(w.early) != 2 {
		t.Errorf("before its answer, %d of a subscription are written and %d wait", len(got), len(w.early))
	}
	c.began()
	if c.left != nil {
		t.Error("what was left is remembered for good")
	}
}
