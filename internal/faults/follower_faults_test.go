//go:build faults

package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// followed is a query with what it means.
type followed struct {
	collection string
	filter     string
	sort       string
	limit      int
	room       string
}

// kept is what a follower has of a query.
type kept struct {
	query *followed
	sub   string
	place string
	at    journal.Seq
	have  map[string]string
}

// sight is what a follower had at a place.
type sight struct {
	who   citizen
	query *followed
	at    journal.Seq
	what  string
	have  map[string]string
}

// record is one of a task or a membership, said as the fields that tell it apart.
type record struct {
	ID   string `json:"id"`
	Room string `json:"room"`
	N    int64  `json:"n"`
	User string `json:"user"`
}

func (r *record) String() string { return fmt.Sprintf("%s/%d/%s", r.Room, r.N, r.User) }

type change struct {
	Put *record `json:"put"`
	Del string  `json:"del"`
}

// told is what a server says over a socket.
type told struct {
	ID      int64           `json:"id"`
	OK      *told           `json:"ok"`
	Status  int             `json:"status"`
	Problem json.RawMessage `json:"problem"`
	Sub     string          `json:"sub"`
	At      string          `json:"at"`
	Reset   bool            `json:"reset"`
	Items   []*record       `json:"items"`
	Changes []change        `json:"changes"`
	Ended   json.RawMessage `json:"ended"`
	Closing json.RawMessage `json:"closing"`
}

// follower is a client on one connection after the other.
type follower struct {
	*village
	rnd  *rand.Rand
	who  citizen
	subs []*kept
	ws   *websocket.Conn
	said chan *told
	asks int64
}

// follow follows some queries until the writers have ended, and comes back whenever the
// connection is lost.
func (v *village) follow(ctx context.Context, rnd *rand.Rand, who citizen) {
	room := v.rooms[rnd.IntN(len(v.rooms))]
	f := &follower{village: v, rnd: rnd, who: who}
	for _, q := range []*followed{
		{collection: "tasks", limit: 500},
		{collection: "tasks", filter: fmt.Sprintf("room == %q", room), sort: "-n", limit: 5, room: room},
		{collection: "members", limit: 500},
	} {
		f.subs = append(f.subs, &kept{query: q})
	}
	for ctx.Err() == nil {
		ended := v.done.Load()
		done := f.once(ctx, ended)
		if f.ws != nil {
			_ = f.ws.CloseNow() // it is lost already, or dropped on purpose
			f.ws = nil
		}
		if done && ended {
			return
		}
		<-time.After(pause)
	}
}

// once lives one connection. It reports whether nothing went wrong.
func (f *follower) once(ctx context.Context, ended bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, at := f.pick(f.rnd)
	if at == "" || !f.dial(ctx, at) {
		return false
	}
	for _, k := range f.subs {
		if !f.begin(ctx, k) {
			return false
		}
	}
	if ended {
		return f.finish(ctx)
	}
	drop := time.After(time.Duration(f.rnd.IntN(3000)) * time.Millisecond)
	for !f.done.Load() {
		select {
		case p, ok := <-f.said:
			if !ok || !f.take(ctx, p) {
				return false
			}
		case <-drop:
			return true
		}
		if f.rnd.IntN(20) == 0 {
			<-time.After(time.Duration(f.rnd.IntN(200)) * time.Millisecond) // it reads slowly
		}
	}
	return true
}

func (f *follower) dial(ctx context.Context, at string) bool {
	ws, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(at, "http")+"/api/ws",
		&websocket.DialOptions{Subprotocols: []string{"galley.v1"},
			HTTPHeader: http.Header{"Authorization": {"Bearer " + f.who.token}}})
	if err != nil {
		if res != nil && res.StatusCode < 500 {
			f.fail("a socket was answered %d", res.StatusCode)
		}
		return false
	}
	ws.SetReadLimit(16 << 20)
	f.ws, f.said = ws, make(chan *told)
	said := f.said
	go func() {
		defer close(said)
		for {
			_, text, err := ws.Read(ctx)
			if err != nil {
				return
			}
			p := &told{}
			if err := json.Unmarshal(text, p); err != nil {
				f.fail("%v: %s", err, text)
				return
			}
			select {
			case said <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	return true
}

func (f *follower) send(ctx context.Context, frame map[string]any) bool {
	text, err := json.Marshal(frame)
	return err == nil && f.ws.Write(ctx, websocket.MessageText, text) == nil
}

// answer sends a frame and takes what comes until its answer; nil means that the
// connection is lost, or that the server cannot answer now.
func (f *follower) answer(ctx context.Context, frame map[string]any) *told {
	f.asks++
	frame["id"] = f.asks
	if !f.send(ctx, frame) {
		return nil
	}
	for p := range f.said {
		if p.ID != f.asks {
			if !f.take(ctx, p) {
				return nil
			}
			continue
		}
		if p.Problem != nil {
			if p.Status < 500 {
				f.fail("%v was answered %s", frame, p.Problem)
			}
			return nil
		}
		return p
	}
	return nil
}

// begin follows a query from where it is known.
func (f *follower) begin(ctx context.Context, k *kept) bool {
	frame := map[string]any{"follow": k.query.collection, "limit": k.query.limit}
	for name, value := range map[string]string{"filter": k.query.filter, "sort": k.query.sort,
		"since": k.place} {
		if value != "" {
			frame[name] = value
		}
	}
	if f.rnd.IntN(10) == 0 {
		delete(frame, "since") // it forgot everything
	}
	k.sub = ""
	p := f.answer(ctx, frame)
	if p == nil {
		return false
	}
	if p.OK == nil {
		f.fail("%v was answered without ok", frame)
		return false
	}
	k.sub = p.OK.Sub
	back, known := frame["since"]
	f.note(k, p.OK, fmt.Sprintf("begin since %v", back))
	f.mu.Lock()
	defer f.mu.Unlock()
	if known && p.OK.Changes != nil {
		f.kept++
	} else if known {
		f.lost++
	}
	return true
}

// take takes one push.
func (f *follower) take(ctx context.Context, p *told) bool {
	switch {
	case p.Closing != nil:
		return false
	case p.Ended != nil:
		f.fail("a subscription ended: %s", p.Ended)
		return false
	case p.Sub == "" && p.At == "":
		return f.send(ctx, map[string]any{}) // the answer to a ping
	case p.Sub == "":
		return true
	}
	i := slices.IndexFunc(f.subs, func(k *kept) bool { return k.sub == p.Sub })
	if i < 0 {
		f.fail("a push for %s, which is nothing", p.Sub)
		return false
	}
	f.note(f.subs[i], p, "frame")
	return f.rnd.IntN(3) > 0 || f.send(ctx, map[string]any{"ack": p.At})
}

// note takes a snapshot, or changes, into what is known, and keeps that for the judge.
func (f *follower) note(k *kept, p *told, what string) {
	_, text, _ := strings.Cut(p.At, ":")
	at, err := journal.ParseSeq(text)
	if c := at.Compare(k.at); err != nil || c < 0 || c == 0 && what == "frame" {
		f.fail("%s at %q after %v: %v", what, p.At, k.at, err)
	}
	if p.Changes == nil {
		k.have = map[string]string{}
	}
	for _, r := range p.Items {
		k.have[r.ID] = r.String()
	}
	for _, c := range p.Changes {
		news := false
		if c.Put != nil {
			news = k.have[c.Put.ID] != c.Put.String()
			k.have[c.Put.ID] = c.Put.String()
		} else {
			_, news = k.have[c.Del]
			delete(k.have, c.Del)
		}
		if !news && what == "frame" {
			f.fail("%s %s at %s: a change that changes nothing: %+v", k.query.collection, k.query.filter,
				p.At, c)
		}
	}
	k.place, k.at = p.At, at
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, sight{f.who, k.query, at, what, maps.Clone(k.have)})
	if what == "frame" {
		f.frames++
	}
	if p.Reset && what == "frame" {
		f.resets++
	}
}

// finish makes a change of its own, and waits until everything up to that was told.
func (f *follower) finish(ctx context.Context) bool {
	p := f.answer(ctx, map[string]any{"method": "POST", "path": "/api/marks",
		"key": string(ident.NewCall()), "body": map[string]string{"name": "the end"}})
	if p == nil || p.Status != http.StatusCreated {
		return false
	}
	for end := p.At; ; {
		p, ok := <-f.said
		if !ok || !f.take(ctx, p) {
			return false
		}
		if p.Sub == "" && p.At == end {
			_, text, _ := strings.Cut(end, ":")
			at, err := journal.ParseSeq(text)
			if err != nil {
				f.fail("place %q: %v", end, err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, k := range f.subs {
				f.seen = append(f.seen, sight{f.who, k.query, at, "the end", k.have})
			}
			return true
		}
	}
}

// folk is the town as the journal tells it.
type folk map[string]map[string]value.Record

func (m folk) inside(who citizen, room, clerk string) bool {
	if who.id == clerk {
		return true
	}
	for _, r := range m["members"] {
		if r.Get("room").Text() == room && r.Get("user").Text() == who.id {
			return true
		}
	}
	return false
}

// answer is what a query has to show.
func (m folk) answer(s *sight, clerk string) map[string]string {
	var all []record
	for id, r := range m[s.query.collection] {
		x := record{ID: id, Room: r.Get("room").Text()}
		if s.query.collection == "tasks" {
			x.N = r.Get("n").Int()
		} else {
			x.User = r.Get("user").Text()
		}
		if m.inside(s.who, x.Room, clerk) && (s.query.room == "" || s.query.room == x.Room) {
			all = append(all, x)
		}
	}
	if s.query.sort == "-n" {
		slices.SortFunc(all, func(a, b record) int { return cmp.Compare(b.N, a.N) })
	}
	out := map[string]string{}
	for _, x := range all[:min(len(all), s.query.limit)] {
		out[x.ID] = x.String()
	}
	return out
}

// judgeSeen folds the journal, and holds what everybody saw against it.
func (v *village) judgeSeen(db storetest.Followed, err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
	defer db.Close()
	entries, err := storetest.Journal(v.Context(), db)
	if err != nil {
		v.Fatal(err)
	}
	slices.SortStableFunc(v.seen, func(a, b sight) int { return a.at.Compare(b.at) })
	m, next, ends := folk{}, 0, 0
	for i := range entries {
		e := &entries[i]
		for _, c := range e.Changes {
			if m[c.Collection] == nil {
				m[c.Collection] = map[string]value.Record{}
			}
			if c.After.Zero() {
				delete(m[c.Collection], string(c.ID))
			} else {
				m[c.Collection][c.After.Slots[spec.SlotID].Text()] = c.After
			}
		}
		for ; next < len(v.seen) && v.seen[next].at.Compare(e.Seq) <= 0; next++ {
			s := &v.seen[next]
			if want := m.answer(s, v.clerk.id); !maps.Equal(s.have, want) {
				v.fail("%s %s of %s at %v (%s): got %v, want %v", s.query.collection, s.query.filter,
					s.who.id, s.at, s.what, s.have, want)
			}
			if s.what == "the end" {
				ends++
			}
		}
	}
	if next < len(v.seen) || ends != townFollowers*3 {
		v.fail("%d states are of the future, %d came to the end", len(v.seen)-next, ends)
	}
	for i, text := range v.wrong {
		if i == 10 {
			v.Errorf("and %d more", len(v.wrong)-i)
			break
		}
		v.Error(text)
	}
	v.Logf("%d changes, %d entries, %d states, %d frames, %d resets; %d came back and were told what "+
		"changed, %d everything", v.made, len(entries), len(v.seen), v.frames, v.resets, v.kept, v.lost)
	if v.frames == 0 || v.kept == 0 {
		v.Error("nothing was followed, or nobody came back")
	}
}
