package socket_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A subscriber that takes nothing costs a bounded amount, and when he takes what he was
// sent he gets everything anew, and is then as he would have been.
func TestWhoIsSlowStartsAnew(t *testing.T) {
	w := open(t, board)
	ana := w.signUp("ana")
	slow := w.dialRaw("", "Authorization", "Bearer "+ana.token)
	slow.send(frame(fin|opText, `{"id":1,"follow":"news","sort":"-id","limit":50}`))
	const batches, each, size = 10, 50, 4500
	body := strings.Repeat("x", size)
	write := func(collection, field string) (grown int64) {
		before := heap()
		for range batches {
			one := fmt.Sprintf(`{"method":"POST","path":"/api/%s","body":{%q:%q}}`, collection, field, body)
			status, got := ana.do("POST", "/api/batch", `{"requests":[`+
				strings.Repeat(one+",", each-1)+one+`]}`, "Idempotency-Key", key())
			if status != 200 {
				t.Fatalf("the batch is %d %v", status, got)
			}
		}
		return heap() - before
	}
	// What a server keeps of as many writes that nobody follows is the control.
	alone := write("cards", "title")
	if grown := write("news", "text"); grown-alone > 6<<20 {
		t.Errorf("%d bytes are kept for one who reads nothing of %d, without him %d", grown,
			batches*each*size, alone)
	}
	if err := slow.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	next := func() (first byte, payload []byte, err error) {
		for {
			first, payload, err = slow.next()
			if err != nil || string(payload) != "{}" { // a ping, where all takes long
				return first, payload, err
			}
		}
	}
	// Now he reads, and says what he has.
	for read := 0; ; {
		first, payload, err := next()
		if err != nil || first != fin|opText {
			t.Fatalf("after %d bytes: %x %v", read, first, err)
		}
		read += len(payload)
		at := place(string(payload))
		slow.send(frame(fin|opText, fmt.Sprintf(`{"ack":%q}`, at)))
		if strings.Contains(string(payload), `"reset":true`) {
			_, want := ana.do("GET", "/api/news?sort=-id&limit=50", "")
			var got map[string]any
			if err := json.Unmarshal(payload, &got); err != nil || text(got["items"]) != text(want["items"]) {
				t.Errorf("the reset is %.300s %v", payload, err)
			}
			break
		}
		if read > 4<<20 {
			t.Fatalf("%d bytes came without a reset", read)
		}
	}
	id := ana.make("news", `{"text":"after"}`)
	_, payload, err := next()
	if err != nil || !strings.Contains(string(payload), id) {
		t.Errorf("after the reset: %.200s %v", payload, err)
	}
}

// place finds the place in a frame.
func place(frame string) string {
	i := strings.LastIndex(frame, `"at":"`)
	if i < 0 {
		return ""
	}
	rest, _, _ := strings.Cut(frame[i+len(`"at":"`):], `"`)
	return rest
}

// heap is how much memory is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
