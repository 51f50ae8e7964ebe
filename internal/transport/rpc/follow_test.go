package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/galleybackend/galley/internal/transport/rest"
)

// stream is a stream of a server.
type stream struct {
	t    testing.TB
	s    *connect.ServerStreamForClient[dynamicpb.Message]
	stop context.CancelFunc
}

// follow begins a stream, which is ended with the test.
func (p *person) follow(name, text string) *stream {
	p.w.t.Helper()
	m := p.w.method(name)
	ctx, stop := context.WithTimeout(context.Background(), 3*patience)
	p.w.t.Cleanup(stop)
	s, err := p.client(m).CallServerStream(ctx, p.request(m, text))
	if err != nil {
		p.w.t.Fatal(err)
	}
	return &stream{p.w.t, s, stop}
}

// next returns the next message, or the error that ended the stream.
func (s *stream) next() (map[string]any, error) {
	s.t.Helper()
	if !s.s.Receive() {
		return nil, s.s.Err()
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(s.s.Msg())
	if err != nil {
		s.t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		s.t.Fatal(err)
	}
	return out, nil
}

// want reads the next message and compares what it puts and takes away, by names and ids.
func (s *stream) want(want string) map[string]any {
	s.t.Helper()
	got, err := s.next()
	if err != nil {
		s.t.Fatal(err)
	}
	text := ""
	if got["reset"] == true {
		text = "reset "
	}
	changes, _ := got["changes"].([]any)
	for _, c := range changes {
		if put, ok := c.(map[string]any)["put"].(map[string]any); ok {
			text += fmt.Sprint("+", put["name"], " ")
		} else {
			text += fmt.Sprint("-", c.(map[string]any)["del"], " ")
		}
	}
	if text != want+" " {
		s.t.Fatalf("the stream says %q, want %q: %v", text, want, got)
	}
	return got
}

func TestAListIsFollowed(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	for _, protocol := range []string{"grpc", "grpcweb", "connect", "json"} {
		t.Run(protocol, func(t *testing.T) {
			p := w.person(protocol)
			p.token = ana.token
			price := fmt.Sprint(100 + len(protocol)*7 + int(protocol[0]))
			filter := `{"filter":"price == ` + price + `","sort":"name"`
			make := func(name string) string {
				return ana.do("Things/Create", `{"name":"`+name+`","price":"`+price+`"}`, "Idempotency-Key",
					protocol+name)["id"].(string)
			}
			a := make("a")
			s := p.follow("Things/Follow", filter+"}")
			at := s.want("reset +a")["at"].(string)
			b := make("b")
			s.want("+b")
			ana.do("Things/Update", `{"id":"`+a+`","patch":{"name":"A"}}`)
			s.want("+A")
			ana.do("Things/Update", `{"id":"`+a+`","patch":{"price":"1"}}`)
			s.want("-" + a)
			ana.do("Things/Delete", `{"id":"`+b+`"}`)
			last := s.want("-" + b)["at"].(string)
			s.stop()
			make("c")
			// Who comes back hears what changed since.
			s = p.follow("Things/Follow", filter+`,"since":"`+last+`"}`)
			s.want("+c")
			s.stop()
			s = p.follow("Things/Follow", filter+`,"since":"0:1"}`)
			s.want("reset +c")
			s.stop()
			_ = at
		})
	}
}

func TestWhatMayNotBeFollowedIsRefused(t *testing.T) {
	w := open(t, nil)
	p := w.person("grpc")
	for text, want := range map[string]string{`{"filter":"nope"}`: "INVALID_FILTER",
		`{"page_size":-1}`: "INVALID_REQUEST", `{"expand":["name"]}`: "INVALID_REQUEST"} {
		_, err := p.follow("Things/Follow", text).next()
		if _, info, _, _ := refused(t, err); info.Reason != want {
			t.Errorf("%s is %v", text, err)
		}
	}
	p.token = "nobody's"
	_, err := p.follow("Things/Follow", `{}`).next()
	if code, _, _, _ := refused(t, err); code != connect.CodeUnauthenticated {
		t.Errorf("with a session that is none it is %v", err)
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	s := ana.follow("Users/Follow", `{}`)
	s.want("reset +ana")
	if res, body := ana.rest("POST", "/api/auth/sign-out", ""); res.Status != 204 {
		t.Fatal(res.Status, body)
	}
	_, err := s.next()
	if code, _, _, _ := refused(t, err); code != connect.CodeUnauthenticated {
		t.Errorf("the stream ends with %v", err)
	}
}

func TestStreamsEndWithTheServer(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	s := ana.follow("Things/Follow", `{}`)
	s.want("reset")
	go w.stop()
	_, err := s.next()
	if code := connect.CodeOf(err); code != connect.CodeUnavailable {
		t.Errorf("the stream ends with %v", err)
	}
	w.stop()
}

// A server gives requests only so long; a stream on which nothing is said is no such one.
func TestAStreamOutlivesTheTimeOfRequests(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	const short = time.Second
	brisk := httptest.NewUnstartedServer(nil)
	brisk.Config = rest.Server(w.app.Handler())
	brisk.Config.ReadTimeout, brisk.Config.WriteTimeout = short, short
	brisk.Start()
	defer brisk.Close()
	unhurried := w.base
	w.base = brisk.URL
	streams := map[string]*stream{}
	for _, protocol := range []string{"grpc", "connect"} {
		p := w.person(protocol)
		p.token = ana.token
		streams[protocol] = p.follow("Things/Follow", `{"filter":"name == \"`+protocol+`\""}`)
		streams[protocol].want("reset")
	}
	<-time.After(2 * short)
	w.base = unhurried
	for protocol, s := range streams {
		ana.do("Things/Create", `{"name":"`+protocol+`","price":"1"}`, "Idempotency-Key", protocol)
		s.want("+" + protocol)
		s.stop()
	}
}

func TestAStreamEndsWithItsDeadline(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	m := w.method("Things/Follow")
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	s, err := ana.client(m).CallServerStream(ctx, ana.request(m, `{}`))
	if err == nil { // else it ended before it had begun
		for s.Receive() {
		}
		err = s.Err()
	}
	if code := connect.CodeOf(err); code != connect.CodeDeadlineExceeded {
		t.Errorf("a stream whose caller gave it a second ends with %v", err)
	}
}
