package load

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestOnceReadsPlainAndChunkedBodies(t *testing.T) {
	long := strings.Repeat("galley ", 30_000)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		for part := range strings.SplitSeq(r.URL.Query().Get("parts"), ",") {
			body := part
			if part == "long" {
				body = long
			}
			fmt.Fprint(w, body)
			if f, ok := w.(http.Flusher); ok && r.URL.Query().Has("flush") {
				f.Flush()
			}
		}
	})
	for query, want := range map[string]string{
		"parts=short":               "short",
		"parts=a,b,c&flush":         "abc",
		"parts=long":                long,
		"parts=a,long,b,long&flush": "a" + long + "b" + long,
		"parts=":                    "",
	} {
		request := fmt.Sprintf("GET /?%s HTTP/1.1\r\nHost: x\r\n\r\n", query)
		status, body, err := Once(context.Background(), addr, []byte(request))
		if err != nil || status != http.StatusAccepted || string(body) != want {
			t.Errorf("%s: got %d, %d bytes, %v; want 202, %d bytes",
				query, status, len(body), err, len(want))
		}
	}
}

func TestRunCountsRightAndWrongAnswers(t *testing.T) {
	var asked, refused atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1)%10 == 0 {
			refused.Add(1)
			w.WriteHeader(http.StatusConflict)
		}
		fmt.Fprint(w, "body")
	})
	request := []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	var checked atomic.Int64
	plan := Plan{
		Addr: addr, Conns: 4, Warm: 20 * time.Millisecond, Time: 100 * time.Millisecond,
		Script: func(int) Script {
			return Script{
				Next:   func() []byte { return request },
				Status: http.StatusOK,
				Check: func(body []byte) error {
					checked.Add(1)
					if !bytes.Equal(body, []byte("body")) {
						return fmt.Errorf("body %q", body)
					}
					return nil
				},
			}
		},
	}
	got, err := Run(context.Background(), plan)
	// A machine with other things to do answers nothing in so short a time.
	for err == nil && (checked.Load() == 0 || got.Rate == 0) && plan.Time < 20*time.Second {
		plan.Time *= 2
		asked.Store(0)
		refused.Store(0)
		got, err = Run(context.Background(), plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.Wrong != refused.Load() || got.Right != asked.Load()-refused.Load() {
		t.Errorf("got %d right, %d wrong; the server counted %d and %d",
			got.Right, got.Wrong, asked.Load()-refused.Load(), refused.Load())
	}
	if got.Wrong > 0 && got.First == nil {
		t.Error("wrong answers without a first error")
	}
	if checked.Load() == 0 || got.Rate == 0 {
		t.Errorf("checked %d bodies, rate %f", checked.Load(), got.Rate)
	}
}

func TestHistogramKeepsQuantilesWithinASixteenth(t *testing.T) {
	for _, want := range []time.Duration{
		time.Microsecond, 15 * time.Microsecond, 16 * time.Microsecond, 31 * time.Microsecond,
		33 * time.Microsecond, 100 * time.Microsecond, 5 * time.Millisecond, 3 * time.Second,
	} {
		var h Histogram
		h.Observe(want)
		if got := h.Quantile(0.5); got < want || got > want+want/16+time.Microsecond {
			t.Errorf("got %v for %v", got, want)
		}
	}
	var h Histogram
	for i := range 1000 {
		h.Observe(time.Duration(i) * time.Millisecond)
	}
	if got := h.Quantile(0.99); got < 990*time.Millisecond || got > 1060*time.Millisecond {
		t.Errorf("got p99 %v, want about 990 ms", got)
	}
}
