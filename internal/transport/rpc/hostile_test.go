package rpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"
)

// framed is a message of gRPC: flags, its length, itself.
func framed(flags byte, message string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message)))) + message
}

// gzipped compresses so many zeros.
func gzipped(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// raw sends a request as it is, and returns the status of HTTP, and that of gRPC if there is
// one.
func raw(t *testing.T, client *http.Client, method, url, body string, headers ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := client.Do(r)
	if err != nil {
		return "gone: " + err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "gone: " + err.Error()
	}
	out := fmt.Sprint(res.StatusCode)
	for _, of := range []http.Header{res.Header, res.Trailer} {
		if status := of.Get("Grpc-Status"); status != "" {
			out += " " + status
		}
		details, err := base64.RawStdEncoding.DecodeString(of.Get("Grpc-Status-Details-Bin"))
		var s spb.Status
		if err != nil || proto.Unmarshal(details, &s) != nil {
			t.Errorf("the details are no status: %v", of)
		}
	}
	if strings.Contains(string(text)+res.Header.Get("Grpc-Message")+res.Trailer.Get("Grpc-Message"), "goroutine") {
		t.Errorf("the answer tells of code: %s", text)
	}
	return out
}

// Whatever is wrong with what comes is said with a status, and the server goes on.
func TestWhatIsWrongOnTheWireIsRefused(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	id := ana.do("Things/Create", `{"name":"pen","price":"1"}`, "Idempotency-Key", "1")["id"].(string)
	get := framed(0, string(appendText(nil, 1, id)))
	h1, h2 := &http.Client{Transport: &http.Transport{}}, plain()
	t.Cleanup(h1.CloseIdleConnections)
	t.Cleanup(h2.CloseIdleConnections)
	const invalid, exhausted, unimplemented, broken = "200 3", "200 8", "200 12", "200 13"
	for _, c := range []struct {
		name    string
		client  *http.Client
		method  string
		body    string
		headers []string
		want    string
	}{
		{"as it should be", h2, "", get, nil, "200 0"},
		{"a bomb", h2, "", framed(1, gzipped(t, 50<<20)), []string{"Grpc-Encoding", "gzip"}, exhausted},
		{"no gzip", h2, "", framed(1, "no gzip"), []string{"Grpc-Encoding", "gzip"}, invalid},
		{"compressed without a name", h2, "", framed(1, "x"), nil, broken},
		{"compressed as nobody does", h2, "", get, []string{"Grpc-Encoding", "lzma"}, unimplemented},
		{"a length beyond the bound", h2, "", "\x00\xff\xff\xff\xff", nil, exhausted},
		{"a message that ends early", h2, "", get[:len(get)-1], nil, broken},
		{"half a prefix", h2, "", "\x00\x00", nil, broken},
		{"no message", h2, "", "", nil, unimplemented},
		{"two messages", h2, "", get + get, nil, unimplemented},
		{"a megabyte and more", h2, "", framed(0, strings.Repeat("x", 1<<20+1)), nil, exhausted},
		{"no protobuf", h2, "", framed(0, "\xff\xff\xff"), nil, invalid},
		{"a time without a unit", h2, "", get, []string{"Grpc-Timeout", "1"}, invalid},
		{"a time that is none", h2, "", get, []string{"Grpc-Timeout", "-1S"}, invalid},
		{"a time of nine digits", h2, "", get, []string{"Grpc-Timeout", "999999999S"}, invalid},
		{"a time that has passed", h2, "", get, []string{"Grpc-Timeout", "0n"}, "200 4"},
		{"a token that is none", h2, "", get, []string{"Authorization", "Bearer " + strings.Repeat("x", 8000)},
			"200 16"},
		{"no Bearer", h2, "", get, []string{"Authorization", "Basic eDp5"}, "200 16"},
		{"two tokens", h2, "", get, []string{"Authorization", "Bearer " + ana.token, "Authorization",
			"Bearer " + ana.token}, invalid},
		{"a trace that is none", h2, "", get, []string{"Traceparent", "00-xyz"}, "200 0"},
		{"headers of a server", h2, "", get, []string{"Grpc-Status", "0", "Grpc-Message", "x"}, "200 0"},
		{"another codec", h2, "", get, []string{"Content-Type", "application/grpc+thrift"}, "415"},
		{"text of gRPC-Web", h1, "", get, []string{"Content-Type", "application/grpc-web-text"}, "415"},
		{"gRPC over HTTP/1.1, which has trailers too", h1, "", get, nil, "200 0"},
		{"GET", h2, "GET", "", nil, "404"},
		{"PUT", h2, "PUT", get, nil, "405"},
		{"text", h1, "", get, []string{"Content-Type", "text/plain"}, "415"},
		{"no type", h1, "", get, []string{"Content-Type", ""}, "415"},
		{"Connect of another version", h1, "", "{}", []string{"Content-Type", "application/json",
			"Connect-Protocol-Version", "9"}, "400"},
		{"Connect with a time that is none", h1, "", "{}", []string{"Content-Type", "application/json",
			"Connect-Timeout-Ms", "soon"}, "400"},
		{"a bomb for Connect", h1, "", gzipped(t, 50<<20), []string{"Content-Type", "application/proto",
			"Content-Encoding", "gzip"}, "429"},
		{"JSON that nests", h1, "", strings.Repeat(`{"id":`, 20000), []string{"Content-Type",
			"application/json"}, "400"},
		{"a form", h1, "", "id=1", []string{"Content-Type", "application/x-www-form-urlencoded"}, "415"},
	} {
		method, headers := c.method, c.headers
		if method == "" {
			method = "POST"
		}
		if len(headers) == 0 || !strings.Contains(strings.Join(headers, "|"), "Content-Type") {
			headers = append([]string{"Content-Type", "application/grpc", "Te", "trailers"}, headers...)
		}
		got := raw(t, c.client, method, w.base+"/things.v1.Things/Get", c.body, headers...)
		if got != c.want {
			t.Errorf("%s is answered with %s, want %s", c.name, got, c.want)
		}
	}
	if got := raw(t, h2, "POST", w.base+"/things.v1.Things/Get", get, "Content-Type", "application/grpc"); got != "200 0" {
		t.Errorf("after all that a call is %s", got)
	}
}

// Who gives up in the middle learns by asking again under the same key: it is done once.
func TestWhatIsGivenUpIsDoneOnceOrNotAtAll(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	m := w.method("Things/Create")
	const calls = 40
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			text, key := fmt.Sprintf(`{"name":"n%d","price":"1"}`, i), fmt.Sprint("k", i)
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*500*time.Microsecond)
			defer cancel()
			r := ana.request(m, text, "Idempotency-Key", key)
			if i%2 == 0 { // the server is not told of a time, but that nobody waits
				stop := time.AfterFunc(time.Duration(i)*500*time.Microsecond, cancel)
				defer stop.Stop()
				ctx = withoutDeadline{ctx}
			}
			_, _ = ana.client(m).CallUnary(ctx, r) // whatever comes of it
			for {
				_, err := ana.client(m).CallUnary(context.Background(), ana.request(m, text, "Idempotency-Key", key))
				if err == nil {
					return
				}
				if _, info, _, _ := refused(t, err); info.Reason != "IN_PROGRESS" {
					t.Errorf("again it is %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	if got := ana.do("Things/List", `{"total":true,"page_size":1}`)["total"]; got != fmt.Sprint(calls) {
		t.Errorf("%v things were made by %d calls", got, calls)
	}
}

// withoutDeadline is a context that ends and does not say when it will.
type withoutDeadline struct{ context.Context }

func (withoutDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }
