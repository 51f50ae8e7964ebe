package socket

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
)

// The bounds of a stream of events.
const (
	// eventsQueryMax is the greatest size of a stream's query, in bytes.
	eventsQueryMax = 8 << 10
	// retryTime is what a browser is told to wait before it comes back.
	retryTime = "1000"
)

// placeMark stands between the places of a stream's subscriptions in its ids.
const placeMark = ","

// events is one stream of Server-Sent Events.
type events struct {
	door *Door
	w    http.ResponseWriter
	c    *http.ResponseController
	live *live.Conn
	b    []byte
	// subs are the names of the subscriptions in the order of the query, places how far
	// each has been told.
	subs, places []string
	closing      chan time.Duration
}

// Events is the stream of GET /api/events.
func (d *Door) Events(w http.ResponseWriter, r *http.Request, call engine.Call) (int, error) {
	queries, err := parseFollows(r.URL.RawQuery)
	if err != nil {
		return 0, err
	}
	if err := resume(queries, r.Header["Last-Event-Id"]); err != nil {
		return 0, err
	}
	address := call.Request.IP
	if err := d.enter("events", address); err != nil {
		return 0, err
	}
	defer d.leave("events", address)
	s := &events{door: d, w: w, c: http.NewResponseController(w), closing: make(chan time.Duration, 1)}
	call.Door = "events"
	if s.live, err = d.cfg.Live.Connect(r.Context(), call); err != nil {
		return 0, err
	}
	defer s.live.Close()
	if !d.add(s) {
		return 0, fault.New(fault.Unavailable, "The server is closing.")
	}
	defer d.remove(s)
	if err := s.begin(r.Context(), queries); err != nil {
		return 0, err
	}
	s.run(r.Context())
	return http.StatusOK, nil
}

// parseFollows reads the query of a stream: what stands after a follow, up to the next,
// belongs to it.
func parseFollows(raw string) ([]live.Query, error) {
	if len(raw) > eventsQueryMax {
		return nil, fault.New(fault.TooLarge, "The query is larger than %d bytes.", eventsQueryMax)
	}
	var out []live.Query
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(k)
		text, err2 := url.QueryUnescape(v)
		if err != nil || err2 != nil || strings.IndexByte(part, ';') >= 0 ||
			strings.IndexByte(name+text, 0) >= 0 || !utf8.ValidString(name+text) {
			return nil, fault.New(fault.Malformed, "The query is not URL-encoded as it should be.")
		}
		if name == "follow" {
			if len(out) == SubscriptionMax {
				return nil, fault.New(fault.Exhausted, "A connection has at most %d subscriptions.",
					SubscriptionMax)
			}
			out = append(out, live.Query{Collection: text, Params: url.Values{}})
			continue
		}
		f := fault.New(fault.Malformed, "A parameter stands after the follow that it belongs to.")
		f.At.Parameter = short(name)
		if len(out) == 0 {
			return nil, f
		}
		q := &out[len(out)-1]
		if _, twice := q.Params[name]; twice {
			f.Message = "This parameter stands there more than once for one follow."
			return nil, f
		}
		if name == "since" {
			q.Since = text
		} else {
			q.Params[name] = []string{text}
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Malformed, "Say what to follow: /api/events?follow=cards.")
	}
	return out, nil
}

// resume has each query begin where the id of the last event says. It stands before
// since, because the browser sends it when it comes back to the same address.
func resume(queries []live.Query, last []string) error {
	if len(last) == 0 || last[0] == "" {
		return nil
	}
	places := strings.Split(last[0], placeMark)
	if len(last) > 1 || len(places) != len(queries) {
		return fault.New(fault.Malformed, "Last-Event-ID is of a stream that follows something else.")
	}
	for i := range queries {
		queries[i].Since = places[i]
	}
	return nil
}

// begin follows everything, and sends nothing unless all of it can be followed. Only the
// last snapshot has an id: who did not get all of them begins anew.
func (s *events) begin(ctx context.Context, queries []live.Query) error {
	var starts []live.Start
	for _, q := range queries {
		start, err := s.live.Follow(ctx, q)
		if err != nil {
			return err
		}
		starts = append(starts, start)
		s.subs, s.places = append(s.subs, start.Sub), append(s.places, start.At)
	}
	s.b = append(s.b, "retry: "+retryTime+"\n\n"...)
	for i := range starts {
		if i == len(starts)-1 {
			s.id()
		}
		s.b = append(appendStart(append(s.b, `data: {"sub":`...), &starts[i]), "}\n\n"...)
	}
	h := s.w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["X-Accel-Buffering"] = []string{"no"} // servers in between must not gather
	_ = s.c.SetReadDeadline(time.Time{})    // what has no deadlines has none to lift
	s.w.WriteHeader(http.StatusOK)
	return nil
}

// id gathers the id of the event that follows: how far everything has been told.
func (s *events) id() {
	s.b = append(s.b, "id: "...)
	for i, p := range s.places {
		if i > 0 {
			s.b = append(s.b, placeMark...)
		}
		s.b = append(s.b, p...)
	}
	s.b = append(s.b, '\n')
}

// run sends what is pushed until somebody ends it.
func (s *events) run(ctx context.Context) {
	beat := time.NewTimer(s.door.cfg.PingTime)
	defer beat.Stop()
	for {
		told, err := s.gather()
		if !s.flush() || err != nil {
			return
		}
		if told {
			s.live.AckTaken()
		}
		select {
		case <-s.live.Ready():
		case <-beat.C:
			s.b = append(s.b, ":\n\n"...)
			beat.Reset(s.door.cfg.PingTime)
		case again := <-s.closing:
			s.b = append(s.b, "retry: "...)
			s.b = append(strconv.AppendInt(s.b, again.Milliseconds(), 10), "\n\n"...)
			_ = s.flush() // who is gone need not be told
			return
		case <-ctx.Done():
			return
		}
	}
}

// gather gathers what is ready, and reports whether there was anything.
func (s *events) gather() (told bool, err error) {
	pushes, err := s.live.Take()
	for i := range pushes {
		p := &pushes[i]
		switch n := slices.Index(s.subs, p.Sub); {
		case p.Sub == "":
			for n := range s.places {
				s.places[n] = p.At
			}
			s.id() // an id without data is kept, and no event
			s.b = append(s.b, '\n')
			continue
		case n >= 0 && p.Reset != nil:
			s.places[n] = p.Reset.At
		case n >= 0 && p.At != "":
			s.places[n] = p.At
		}
		s.id()
		s.b = append(appendPush(append(s.b, "data: "...), p), "\n\n"...)
	}
	return len(pushes) > 0, err
}

// flush sends what was gathered; false means that the peer is gone.
func (s *events) flush() bool {
	for done := 0; done < len(s.b); {
		_ = s.c.SetWriteDeadline(time.Now().Add(WriteTime)) // as for reading
		n, err := s.w.Write(s.b[done:min(len(s.b), done+chunkMax)])
		if done += n; err != nil {
			return false
		}
	}
	if len(s.b) > 0 && s.c.Flush() != nil {
		return false
	}
	if s.b = s.b[:0]; cap(s.b) > bufferMax {
		s.b = nil
	}
	return true
}

// end implements peer.
func (s *events) end(again time.Duration) {
	select {
	case s.closing <- again:
	default: // it was told before
	}
}
