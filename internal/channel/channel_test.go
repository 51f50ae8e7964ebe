package channel_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/value"
)

func TestMembersHearOneAnother(t *testing.T) {
	w := open(t, kanban)
	ana, ben := w.user("Ana"), w.user("Ben")
	board := w.create("boards", `{"name":"Plans"}`)
	w.member(board, ana)
	w.member(board, ben)
	name := "board/" + board
	a, b := w.connect("c1", ana), w.connect("c2", ben)
	anaShown := `{"who":"c1","user":{"id":"` + ana + `","name":"Ana","avatar":null},"state":{"cursor":[3,4]}}`
	benShown := `{"who":"c2","user":{"id":"` + ben + `","name":"Ben","avatar":null}}`
	if all, err := a.join(name, `{ "cursor": [3, 4] }`); err != nil || all != anaShown {
		t.Fatalf("got %s, %v, want %s", all, err, anaShown)
	}
	if all, err := b.join(name, ""); err != nil || all != anaShown+" "+benShown {
		t.Fatalf("got %s, %v", all, err)
	}
	a.want(`{"channel":"` + name + `","joined":` + benShown + `}`)
	if err := b.send(name, `{ "typing": true }`); err != nil {
		t.Fatal(err)
	}
	a.want(`{"channel":"` + name + `","from":"c2","user":"` + ben + `","message":{"typing":true}}`)
	if err := b.State(name, []byte(`"busy"`)); err != nil {
		t.Fatal(err)
	}
	a.want(`{"channel":"` + name + `","state":{"who":"c2","value":"busy"}}`)
	w.hub.Publish(name, []byte(`{"moved":1}`))
	a.want(`{"channel":"` + name + `","message":{"moved":1}}`)
	b.want(`{"channel":"` + name + `","message":{"moved":1}}`)
	if err := b.Leave(name); err != nil {
		t.Fatal(err)
	}
	a.want(`{"channel":"` + name + `","left":"c2"}`)
	if err := b.send(name, `1`); !fault.Is(err, fault.Denied) {
		t.Errorf("one who left sends: %v", err)
	}
	a.Close()
	if n := w.hub.Numbers(); n.Channels != 0 || n.Members != 0 {
		t.Errorf("somebody is left: %+v", n)
	}
}

func TestWhoMayNotJoinHearsTheSameOfWhatIsNotThere(t *testing.T) {
	w := open(t, kanban)
	ana := w.user("Ana")
	board := w.create("boards", `{"name":"Plans"}`)
	gone := w.create("boards", `{"name":"Gone"}`)
	w.remove("boards", gone)
	a, nobody := w.connect("c1", ana), w.connect("c2", "")
	var said []string
	for _, name := range []string{board, gone, string(ident.NewRecord()), ana} {
		_, err := a.join("board/"+name, "")
		kind(t, err, fault.Denied)
		said = append(said, fault.From(err).CodeOr()+fault.From(err).Message)
		_, err = nobody.join("board/"+name, "")
		kind(t, err, fault.Unauthenticated)
	}
	for _, s := range said {
		if s != said[0] {
			t.Errorf("%q tells more than %q", s, said[0])
		}
	}
	for _, name := range []string{"", "board", "board/", "board/../" + board, "board/" + board + "/",
		"Board/" + board, "board/" + strings.ToUpper(board), "board/" + board + "\x00", "nothing/x",
		"room/u\u0308", "room/" + strings.Repeat("x", 1000)} {
		_, err := a.join(name, "")
		kind(t, err, fault.NotFound)
		kind(t, a.send(name, "1"), fault.Denied)
		kind(t, a.State(name, nil), fault.Denied)
	}
	if n := w.hub.Numbers(); n.Channels != 0 {
		t.Errorf("rooms are left of those who could not join: %+v", n)
	}
}

func TestANoIsExplained(t *testing.T) {
	w := open(t, kanban)
	ana := w.user("Ana")
	w.member(w.create("boards", `{"name":"Other"}`), ana)
	board := w.create("boards", `{"name":"Plans"}`)
	a := w.connect("c1", ana)
	a.call.Seen = &observe.Call{}
	_, err := a.join("board/"+board, "")
	kind(t, err, fault.Denied)
	seen := a.call.Seen
	if seen.Operation != "channels.board/{board:boards}.join" || len(seen.Rules) != 1 || seen.Rules[0].Yes {
		t.Fatalf("seen is %+v", seen)
	}
	for _, part := range []string{"m.board == board", "false"} {
		if why := seen.Rules[0].Explain(); !strings.Contains(why, part) {
			t.Errorf("the reason does not name %s:\n%s", part, why)
		}
	}
}

func TestAMembershipEndsWithTheRecordThatItRestsOn(t *testing.T) {
	w := open(t, kanban)
	ana, ben := w.user("Ana"), w.user("Ben")
	board := w.create("boards", `{"name":"Plans"}`)
	w.member(board, ana)
	membership := w.member(board, ben)
	name := "board/" + board
	a, b := w.connect("c1", ana), w.connect("c2", ben)
	for _, g := range []*guest{a, b} {
		if _, err := g.join(name, ""); err != nil {
			t.Fatal(err)
		}
	}
	a.next() // that the other came
	w.remove("members", membership)
	// What is said from here on must not reach him.
	w.hub.Publish(name, []byte(`"secret"`))
	b.want(`{"channel":"` + name + `","ended":{"code":"forbidden"}}`)
	heard := a.next() + a.next() // in any order
	if !strings.Contains(heard, `"message":"secret"`) || !strings.Contains(heard, `"left":"c2"`) {
		t.Errorf("the other heard %s", heard)
	}
	kind(t, b.send(name, "1"), fault.Denied)
	if rest := b.Take(); len(rest) != 0 {
		t.Errorf("then came %v", rest)
	}

	// A board that goes takes its channel with it.
	w.remove("boards", board)
	a.want(`{"channel":"` + name + `","ended":{"code":"forbidden"}}`)

	// So does a user who goes.
	if _, err := a.join("room/x", ""); err != nil {
		t.Fatal(err)
	}
	w.remove("users", ana)
	a.want(`{"channel":"room/x","ended":{"code":"unauthenticated"}}`)
}

func TestAnotherAppJudgesAnew(t *testing.T) {
	w := open(t, kanban)
	ana := w.user("Ana")
	a, nobody := w.connect("c1", ana), w.connect("c2", "")
	for _, g := range []*guest{a, nobody} {
		if _, err := g.join("room/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	a.want(`{"channel":"room/x","joined":{"who":"c2","user":null}}`)
	next := compile(t, strings.Replace(kanban, "    join: true\n", "    join: auth != null\n", 1))
	if err := w.engine.Swap(next, nil, nil); err != nil {
		t.Fatal(err)
	}
	w.hub.Swapped()
	nobody.want(`{"channel":"room/x","ended":{"code":"unauthenticated"}}`)
	a.want(`{"channel":"room/x","left":"c2"}`)
	next = compile(t, kanban[:strings.Index(kanban, "channels:")])
	if err := w.engine.Swap(next, nil, nil); err != nil {
		t.Fatal(err)
	}
	w.hub.Swapped()
	a.want(`{"channel":"room/x","ended":{"code":"not_found"}}`)
}

func TestWhatIsShownOfAUserFollowsHisRecord(t *testing.T) {
	w := open(t, kanban)
	ana, ben := w.user("Ana"), w.user("Ben")
	a, b := w.connect("c1", ana), w.connect("c2", ben)
	for _, g := range []*guest{a, b} {
		if _, err := g.join("room/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	a.next()
	w.update("users", ben, `{"phone":"123"}`) // which nobody sees
	w.update("users", ben, `{"name":"Benno"}`)
	benno := `{"channel":"room/x","joined":{"who":"c2","user":{"id":"` + ben + `","name":"Benno"}}}`
	a.want(benno)
	b.want(benno) // as who one is seen is nothing that one did oneself
}

func TestSendHasARuleOfItsOwn(t *testing.T) {
	w := open(t, kanban)
	ana, ben := w.user("Ana"), w.user("Ben")
	board := w.create("boards", `{"name":"Plans"}`)
	w.member(board, ana)
	w.member(board, ben)
	name := "quiet/" + board
	a, b := w.connect("c1", ana), w.connect("c2", ben)
	kind(t, a.send(name, "1"), fault.Denied) // he has not joined
	for _, g := range []*guest{a, b} {
		if all, err := g.join(name, ""); err != nil || all != "" {
			t.Fatalf("got %s, %v of a channel without presence", all, err)
		}
	}
	_, err := a.join("quiet/"+board, `{"x":1}`)
	kind(t, err, fault.Invalid)
	a, _ = w.connect("c3", ana), a.Leave(name)
	if _, err := a.join(name, ""); err != nil {
		t.Fatal(err)
	}
	kind(t, a.State(name, []byte("1")), fault.Invalid)
	if err := a.send(name, "1"); err != nil {
		t.Fatal(err)
	}
	b.want(`{"channel":"` + name + `","from":"c3","user":"` + ana + `","message":1}`)
	w.update("boards", board, `{"muted":true}`)
	kind(t, a.send(name, "2"), fault.Denied)
}

func TestOneUserWithTwoConnectionsIsThereTwice(t *testing.T) {
	w := open(t, kanban)
	ana := w.user("Ana")
	a, b := w.connect("c1", ana), w.connect("c2", ana)
	if _, err := a.join("room/x", ""); err != nil {
		t.Fatal(err)
	}
	all, err := b.join("room/x", "")
	if err != nil || strings.Count(all, ana) != 2 {
		t.Fatalf("got %s, %v", all, err)
	}
	// Joining again is no second membership, and shows the state that is given.
	if all, err = b.join("room/x", "2"); err != nil || strings.Count(all, ana) != 2 {
		t.Fatalf("got %s, %v", all, err)
	}
	for !strings.HasSuffix(a.next(), `,"state":2}}`) {
		continue
	}
	if err := b.Leave("room/x"); err != nil {
		t.Fatal(err)
	}
	a.want(`{"channel":"room/x","left":"c2"}`)
}

func TestMessagesOfOneSenderKeepTheirOrder(t *testing.T) {
	w := open(t, kanban)
	a, b := w.connect("c1", ""), w.connect("c2", "")
	for _, g := range []*guest{a, b} {
		if _, err := g.join("room/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	a.next()
	for n := range 20 {
		if err := b.send("room/x", fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 20 {
		a.want(fmt.Sprintf(`{"channel":"room/x","from":"c2","user":null,"message":%d}`, n))
	}
}

func TestBoundsAreNamed(t *testing.T) {
	w := open(t, kanban)
	says := func(err error, want fault.Kind, bound string) {
		t.Helper()
		kind(t, err, want)
		if !strings.Contains(fault.From(err).Message, bound) {
			t.Errorf("%q does not name %s", fault.From(err).Message, bound)
		}
	}
	a := w.connect("c1", "")
	if _, err := a.join("room/x", ""); err != nil {
		t.Fatal(err)
	}
	says(a.send("room/x", `"`+strings.Repeat("x", 16<<10)+`"`), fault.TooLarge, "16384")
	says(a.State("room/x", []byte(`"`+strings.Repeat("x", 4<<10)+`"`)), fault.TooLarge, "4096")
	says(a.send("room/x", `{`), fault.Invalid, "")
	says(a.send("room/x", `{"a":1,"a":2}`), fault.Invalid, "")
	says(a.Send(t.Context(), a.call, "room/x", nil), fault.Invalid, "")
	var err error
	for n := 0; err == nil && n < 100; n++ {
		err = a.send("room/x", "1")
	}
	says(err, fault.Exhausted, "30")
	a.Close()
	_, err = a.join("room/x", "")
	says(err, fault.Unavailable, "")
	if n := w.hub.Numbers(); n.Channels != 0 {
		t.Errorf("somebody is left: %+v", n)
	}
}

func TestAStormOfMembers(t *testing.T) {
	w := open(t, kanban)
	const many = 1000
	quick, slow := w.connect("quick", ""), w.connect("slow", "")
	for _, g := range []*guest{quick, slow} {
		if _, err := g.join("room/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	// All come, and all but ten go, at once.
	var storm sync.WaitGroup
	for n := range many {
		storm.Go(func() {
			g := w.connect(fmt.Sprint("g", n), "")
			if _, err := g.join("room/x", fmt.Sprint(n)); err != nil {
				t.Error(err)
			}
			if err := g.send("room/x", `"hello"`); err != nil {
				t.Error(err)
			}
			if n >= 10 {
				g.Close()
			}
		})
	}
	there, joined := map[string]bool{"slow": true}, map[string]bool{}
	note := func(e channel.Event) {
		switch e.Kind {
		case channel.Joined:
			there[e.Present.Who], joined[e.Present.Who] = true, true
		case channel.Left:
			if !there[e.Present.Who] {
				t.Errorf("%s left, who was not there", e.Present.Who)
			}
			delete(there, e.Present.Who)
		}
	}
	ended := make(chan struct{})
	go func() { storm.Wait(); close(ended) }()
	late := time.After(time.Minute)
	for over := false; !over || len(there) != 11; {
		select {
		case <-quick.Ready():
		case <-ended:
			over, ended = true, nil
		case <-late:
			t.Fatalf("%d seem to be there; the storm is over: %v", len(there), over)
		}
		for _, e := range quick.Take() {
			note(e)
		}
	}
	if n := w.hub.Numbers(); n.Members != 12 {
		t.Errorf("there are %d members", n.Members)
	}
	// Who was slow hears of those who are there, and of some of the messages.
	messages, came := 0, 0
	for _, e := range slow.Take() {
		switch e.Kind {
		case channel.Message:
			messages++
		case channel.Joined:
			came++
		case channel.Left:
			t.Errorf("he hears that %s left, of whom he never knew", e.Present.Who)
		}
	}
	if came != 10 || messages == 0 || messages > 256 {
		t.Errorf("%d came and %d messages did", came, messages)
	}
	if n := w.hub.Numbers(); n.Dropped == 0 {
		t.Error("nothing was dropped")
	}
}

func TestAConnectionIsInSoManyChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := channel.New(channel.Config{Engine: everybody{compile(t, kanban)}})
		m := hub.Connect("c1")
		for n := range 100 {
			if _, err := m.Join(t.Context(), engine.Call{}, fmt.Sprint("room/", n), nil); err != nil {
				t.Fatal(n, err)
			}
			time.Sleep(time.Second)
		}
		_, err := m.Join(t.Context(), engine.Call{}, "room/x", nil)
		kind(t, err, fault.Exhausted)
		if !strings.Contains(err.Error(), "100") {
			t.Errorf("%v does not name the bound", err)
		}
		if err := m.Leave("room/7"); err != nil {
			t.Fatal(err)
		}
		if _, err = m.Join(t.Context(), engine.Call{}, "room/x", nil); err != nil {
			t.Error(err)
		}

		// One more than there may be in a channel.
		full := "quiet/" + string(ident.NewRecord())
		for n := range 10_000 {
			_, err := hub.Connect(fmt.Sprint("d", n)).Join(t.Context(), engine.Call{}, full, nil)
			if err != nil {
				t.Fatal(n, err)
			}
		}
		_, err = hub.Connect("late").Join(t.Context(), engine.Call{}, full, nil)
		kind(t, err, fault.Exhausted)
		if !strings.Contains(err.Error(), "10000") {
			t.Errorf("%v does not name the bound", err)
		}
	})
}

// everybody lets everybody in.
type everybody struct{ app *app.App }

func (e everybody) App() *app.App { return e.app }

func (e everybody) Enter(_ context.Context, c engine.Call) (engine.Entrance, error) {
	family, params := e.app.Channel(c.Target)
	return engine.Entrance{Family: family, Params: params, User: "null"}, nil
}

func FuzzNames(f *testing.F) {
	a := compile(f, kanban+"  day/{on:date}/{n:int}: {join: true}\n")
	for _, name := range []string{"", "/", "room", "room/", "room/a", "room/../x", "room/%2e%2e", "board/01m7zvgj4ke009d576brvv3mew",
		"room/u\u0308", "room/\x00", "room/a\u202eb", "day/2026-11-21/7", "day/2026-11-21/-0", "board//", "room/\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		c, params := a.Channel(name)
		if c == nil {
			return
		}
		// The name is written again from what was read: there is no other spelling.
		parts := strings.Split(c.Spec.Plain(), "/")
		for i, n := 0, 0; i < len(parts); i++ {
			if strings.HasPrefix(parts[i], "{") {
				parts[i] = strings.Trim(string(value.AppendJSON(nil, params.Slots[n])), `"`)
				if params.Slots[n].Kind() == value.Text {
					parts[i] = params.Slots[n].Text()
				}
				n++
			}
		}
		if again := strings.Join(parts, "/"); again != name {
			t.Errorf("%q is read as %q", name, again)
		}
		if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || len(name) > 200 ||
			strings.Contains(name, "//") || strings.HasSuffix(name, "/") {
			t.Errorf("%q names a channel of %s", name, c.Name)
		}
	})
}
