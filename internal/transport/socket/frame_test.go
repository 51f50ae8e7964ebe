package socket

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/fault"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		// want is what is wrong, "" for nothing; closes reports that there is nobody to
		// answer.
		want   string
		closes bool
	}{
		{text: `{}`},
		{text: ` { } `},
		{text: `{"ack":"8f3:1"}`},
		{text: `{"id":0,"follow":"cards"}`},
		{text: `{"id":9007199254740991,"follow":"cards"}`},
		{text: `{"id":2,"follow":"cards","filter":"a == 1","sort":"-a","limit":5,"fields":"a","expand":"b","since":"1:2"}`},
		{text: `{"follow":"cards","id":2}`},
		{text: `{"id":5,"join":"a/b","state":{"x":[1]}}`},
		{text: `{"state":{"x":1},"join":"a/b","id":5}`},
		{text: `{"id":6,"state":"a/b","value":null}`},
		{text: `{"state":"a/b","value":1}`},
		{text: `{"send":"a/b","message":null}`},
		{text: `{"leave":"a/b"}`},
		{text: `{"id":1,"method":"GET","path":"/api/a","key":"k","body":[],"if_match":7}`},
		{text: `{"id":1,"method":"GET","path":"/api/a","if_match":"\"7\""}`},

		{text: ``, want: "not JSON", closes: true},
		{text: `nul`, want: "not JSON", closes: true},
		{text: `null`, want: "a JSON object", closes: true},
		{text: `{"id":1`, want: "not JSON", closes: true},
		{text: `{"id":1}{}`, want: "follows the end", closes: true},
		{text: `{"id":1,"id":1}`, want: "not JSON", closes: true},
		{text: `{"id":"1","follow":"cards"}`, want: "whole number", closes: true},
		{text: `{"id":-1}`, want: "whole number", closes: true},
		{text: `{"id":-0,"follow":"cards"}`, want: "whole number", closes: true},
		{text: `{"id":1.5}`, want: "whole number", closes: true},
		{text: `{"id":1e3}`, want: "whole number", closes: true},
		{text: `{"id":9007199254740992}`, want: "whole number", closes: true},
		{text: `{"follow":"cards"}`, want: "has an id", closes: true},
		{text: `{"join":"a"}`, want: "has an id", closes: true},
		{text: `{"method":"GET","path":"/"}`, want: "has an id", closes: true},
		{text: `{"folow":"cards"}`, want: "Did you mean follow?", closes: true},
		{text: "{\"id\":1,\"follow\":\"\xff\"}", want: "not JSON", closes: true},

		{text: `{"id":1}`, want: "asks for something"},
		{text: `{"folow":"cards","id":1}`, want: "Did you mean follow?"},
		{text: `{"id":1,"follow":5}`, want: "follow is a text"},
		{text: `{"id":1,"follow":"a\u0000"}`, want: "NUL"},
		{text: `{"id":1,"follow":"cards","limit":"5"}`, want: "limit is a number"},
		{text: `{"id":1,"follow":"cards","join":"a"}`, want: "one thing: follow or join"},
		{text: `{"id":1,"follow":"cards","path":"/"}`, want: "path does not belong"},
		{text: `{"id":1,"follow":"cards","state":1}`, want: "state belongs to join"},
		{text: `{"id":1,"unfollow":"s1","filter":"a"}`, want: "filter does not belong"},
		{text: `{"id":1,"method":"GET"}`, want: "method and a path"},
		{text: `{"id":1,"send":"a"}`, want: "needs a message"},
		{text: `{"id":1,"state":"a"}`, want: "needs a value"},
		{text: `{"id":1,"state":5,"value":1}`, want: "state is a text"},
	} {
		f, err := parse([]byte(c.text))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.want != "" && (err == nil || !strings.Contains(fault.From(err).Message, c.want)):
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		case c.want != "" && f.answered == c.closes:
			t.Errorf("%s: answered %v", c.text, f.answered)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{`{}`, `{"id":1,"follow":"cards","filter":"a","limit":5}`,
		`{"id":5,"join":"a/b","state":{"x":[1]}}`, `{"id":8,"method":"PATCH","path":"/a","key":"k","body":{}}`,
		`{"state":"a","value":" "}`, `{"ack":"1:2"}`, `{"id":1,"id":2}`, `[`, "\xff"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parse(bytes.Clone(text))
		if err != nil {
			if fault.From(err).Kind != fault.Malformed || fault.From(err).Message == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		// What is understood is JSON for everybody, and so is each piece of it.
		if !json.Valid(text) {
			t.Fatalf("%q is taken", text)
		}
		if got.raw != nil && !json.Valid(got.raw) {
			t.Fatalf("%q holds %q", text, got.raw)
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if id, ok := m["id"]; ok != got.answered || ok && string(id) != string(appendID(nil, got.id)[6:]) {
			t.Fatalf("%q has the id %d %v", text, got.id, got.answered)
		}
	})
}

func TestFramesHaveTheLengthOfTheirPayload(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 200_000} {
		b, mark := beginFrame([]byte("before"))
		b = append(b, bytes.Repeat([]byte("x"), n)...)
		b = endFrame(b, mark)
		b = append(b, "after"...)
		head, length := b[6:], uint64(b[7])
		skip := 2
		switch length {
		case 126:
			skip, length = 4, uint64(binary.BigEndian.Uint16(head[2:]))
		case 127:
			skip, length = 10, binary.BigEndian.Uint64(head[2:])
		}
		if head[0] != 0x81 || length != uint64(n) || string(b[:6]) != "before" ||
			string(head[skip:]) != strings.Repeat("x", n)+"after" {
			t.Errorf("a payload of %d has the head %x", n, head[:10])
		}
	}
}
