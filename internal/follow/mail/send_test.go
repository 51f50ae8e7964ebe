package mail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/outbound/smtptest"
	"github.com/galleybackend/galley/internal/store/dbtest"
)

// ids returns how often each Message-ID was taken.
func ids(t testing.TB, mails []smtptest.Message) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, m := range mails {
		msg, err := netmail.ReadMessage(bytes.NewReader(m.Source))
		if err != nil {
			t.Fatal(err)
		}
		out[msg.Header.Get("Message-ID")]++
	}
	return out
}

// failOnce fails the first time at a stage, for each recipient.
func failOnce(at smtptest.Stage, f smtptest.Fault) func(smtptest.Stage, string) *smtptest.Fault {
	var mu sync.Mutex
	failed := map[string]bool{}
	return func(stage smtptest.Stage, to string) *smtptest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if stage != at || failed[to] {
			return nil
		}
		failed[to] = true
		return &f
	}
}

func TestAMailThatFailsIsTriedAgain(t *testing.T) {
	busy := smtptest.Fault{Code: 451, Detail: [3]int{4, 7, 1}, Text: "later"}
	drop := smtptest.Fault{Drop: true}
	for _, c := range []struct {
		name  string
		at    smtptest.Stage
		fault smtptest.Fault
	}{
		{"busy at connect", smtptest.Connect, smtptest.Fault{Code: 421, Text: "busy"}},
		{"dropped at connect", smtptest.Connect, drop}, {"busy at the sender", smtptest.Mail, busy},
		{"dropped at the sender", smtptest.Mail, drop}, {"greylisted", smtptest.Recipient, busy},
		{"dropped at the recipient", smtptest.Recipient, drop}, {"busy at the mail", smtptest.Data, busy},
		{"dropped at the mail", smtptest.Data, drop},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := smtptest.New(t, smtptest.Options{Fail: failOnce(c.at, c.fault)})
			n := start(t, dbtest.Memory(t), false, to(t, s))
			ana, bo := n.user("ana"), n.user("bo")
			n.order(ana, 1990)
			n.order(bo, 1990)
			n.advance(0)
			n.untilAdvancing(mail.Filter{}, func(l []mail.Letter) bool {
				return len(l) == 2 && counted(l)[mail.Sent] == 2
			})
			for id, times := range ids(t, s.Mails()) {
				if times != 1 {
					t.Errorf("%s was taken %d times", id, times)
				}
			}
			if len(s.Mails()) != 2 {
				t.Errorf("the server took %d mails", len(s.Mails()))
			}
		})
	}
}

// untilAdvancing is until, while the app's time passes.
func (n *node) untilAdvancing(f mail.Filter, is func([]mail.Letter) bool) []mail.Letter {
	n.t.Helper()
	return n.until(f, func(l []mail.Letter) bool {
		n.advance(100 * time.Millisecond)
		return is(l)
	})
}

func TestAMailWhoseEndNobodyKnows(t *testing.T) {
	s := smtptest.New(t, smtptest.Options{Fail: failOnce(smtptest.Answer, smtptest.Fault{Drop: true})})
	n := start(t, dbtest.Memory(t), false, to(t, s))
	ana := n.user("ana")
	// A receipt must come, so that it is sent again, and can be told by its Message-ID.
	n.order(ana, 1990)
	l := n.untilAdvancing(mail.Filter{Email: "receipt"}, func(l []mail.Letter) bool {
		return len(l) == 1 && l[0].State == mail.Sent
	})[0]
	if got := ids(t, s.Mails()); len(got) != 1 || got["<"+string(l.ID)+"@shop.example>"] != 2 {
		t.Errorf("the server took %v", got)
	}
	a, b := s.Mails()[0].Source, s.Mails()[1].Source
	if !bytes.Equal(a, b) {
		t.Errorf("the second is another mail:\n%s\n%s", a, b)
	}
	// Of marketing one too few is better than one too many.
	bo := n.user("bo")
	n.send("news", bo)
	unknown := n.untilAdvancing(mail.Filter{Email: "news"}, func(l []mail.Letter) bool {
		return len(l) == 1 && l[0].State == mail.Unknown
	})[0]
	if !strings.HasPrefix(unknown.Why, "answer: ") {
		t.Errorf("it is unknown because %q", unknown.Why)
	}
	n.send("news", bo)
	n.until(mail.Filter{Email: "news"}, func(l []mail.Letter) bool { return counted(l)[mail.Held] == 1 })
	if len(s.Mails()) != 3 {
		t.Errorf("the server took %d mails", len(s.Mails()))
	}
}

func TestAMailThatFailsTooOftenIsParked(t *testing.T) {
	var mu sync.Mutex
	closed := true
	s := smtptest.New(t, smtptest.Options{Fail: func(at smtptest.Stage, _ string) *smtptest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if at == smtptest.Recipient && closed {
			return &smtptest.Fault{Code: 451, Text: "later"}
		}
		return nil
	}})
	n := start(t, dbtest.Memory(t), false, func(c *mail.Config) {
		to(t, s)(c)
		c.Pace.Tries = 3
	})
	ana := n.user("ana")
	n.send("news", ana)
	l := n.untilAdvancing(mail.Filter{Email: "news"}, func(l []mail.Letter) bool {
		return len(l) == 1 && l[0].State == mail.Parked
	})[0]
	if l.Tries != 3 || !strings.Contains(l.Why, "later") {
		t.Errorf("the letter is %+v", l)
	}
	mu.Lock()
	closed = false
	mu.Unlock()
	// Nothing was sent, so that nothing is waited for.
	if err := n.mails.Retry(t.Context(), l.ID); err != nil {
		t.Fatal(err)
	}
	n.states(mail.Filter{Email: "news"}, 1, mail.Sent)
}

// door is a sender that is closed until it is opened.
type door struct {
	mu   sync.Mutex
	open bool
	sent int
}

func (d *door) Send(_ context.Context, _ outbound.Mail, ready func() error) error {
	d.mu.Lock()
	open := d.open
	d.mu.Unlock()
	if !open {
		return &outbound.MailError{Stage: outbound.StageConnect, Err: errors.New("connection refused")}
	}
	if err := ready(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent++
	return nil
}

func TestLettersWaitForAServerThatIsAway(t *testing.T) {
	d := &door{}
	n := start(t, dbtest.Memory(t), false, func(c *mail.Config) { c.Sender = d; c.Pace.Tries = 2 })
	ana := n.user("ana")
	for range 5 {
		n.order(ana, 1990)
	}
	n.until(mail.Filter{}, func(l []mail.Letter) bool { return len(l) == 5 && n.mails.Down() != "" })
	n.untilAdvancing(mail.Filter{}, func(l []mail.Letter) bool {
		return !slices.ContainsFunc(l, func(l mail.Letter) bool { return l.Tries > 0 || l.State == mail.Parked })
	})
	d.mu.Lock()
	d.open = true
	d.mu.Unlock()
	n.untilAdvancing(mail.Filter{}, func(l []mail.Letter) bool { return counted(l)[mail.Sent] == 5 })
	if n.mails.Down() != "" {
		t.Errorf("the server is away: %s", n.mails.Down())
	}
}

func TestACampaignReachesEachOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		s := smtptest.New(t, smtptest.Options{})
		nodes := []*node{start(t, open(), shared, to(t, s))}
		if shared {
			nodes = append(nodes, start(t, open(), shared, to(t, s)))
		}
		n := nodes[0]
		for _, name := range strings.Fields("ana bo cy di eva fay gil hal ida jo kim lee max nel ola") {
			n.user(name)
		}
		pat := n.user("pat")
		n.call(engine.Update, "users", pat, `{"deals":false}`)
		n.given("deals", `null`)
		n.states(mail.Filter{Email: "deals"}, 15, mail.Sent)
		campaigns, err := n.mails.Campaigns(t.Context())
		if err != nil || len(campaigns) != 1 || campaigns[0].Total != 15 || campaigns[0].Made != 15 ||
			campaigns[0].State != mail.Done || campaigns[0].Letters[mail.Sent] != 15 {
			t.Errorf("the campaigns are %+v, %v", campaigns, err)
		}
		got := ids(t, s.Mails())
		if len(got) != 15 || len(s.Mails()) != 15 {
			t.Errorf("the server took %d mails, %d of them others", len(s.Mails()), len(got))
		}
		// The next one comes too soon for all of them.
		n.given("deals", `null`)
		n.until(mail.Filter{Email: "deals"}, func(l []mail.Letter) bool { return counted(l)[mail.Held] == 15 })
		if ok, err := n.mails.Settled(t.Context()); err != nil || !ok {
			t.Errorf("nothing is left to do: %t, %v", ok, err)
		}
	})
}

func TestEachMailArrivesThroughAHostileServer(t *testing.T) {
	const letters = 1000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	hidden := map[string]int{} // whose answer was never heard
	s := smtptest.New(t, smtptest.Options{Fail: func(at smtptest.Stage, to string) *smtptest.Fault {
		mu.Lock()
		defer mu.Unlock()
		switch n := chance.IntN(100); {
		case at == smtptest.Recipient && n < 20:
			return &smtptest.Fault{Code: 451, Text: "later"}
		case at == smtptest.Data && n < 5:
			return &smtptest.Fault{Code: 452, Text: "full"}
		case at != smtptest.Answer && n < 3, at == smtptest.Answer && n < 2:
			if at == smtptest.Answer {
				hidden[to]++
			}
			return &smtptest.Fault{Drop: true}
		}
		return nil
	}})
	n := start(t, dbtest.Memory(t), false, func(c *mail.Config) {
		to(t, s)(c)
		c.Pace.Tries, c.Pace.Again = 40, time.Millisecond
	})
	for from := 0; from < letters; from += 100 {
		var readers []string
		for i := from; i < from+100; i++ {
			readers = append(readers, fmt.Sprintf("%q", fmt.Sprintf("reader%d@example.com", i)))
		}
		n.given("hello", `{"to":[`+strings.Join(readers, ",")+`],"data":{"name":"you"}}`)
	}
	all := n.untilAdvancing(mail.Filter{}, func(l []mail.Letter) bool {
		return len(l) == letters && counted(l)[mail.Sent] == letters
	})
	got := ids(t, s.Mails())
	mu.Lock()
	defer mu.Unlock()
	for _, l := range all {
		if times := got["<"+string(l.ID)+"@shop.example>"]; times != 1+hidden[l.To] {
			t.Errorf("%s was taken %d times, and %d answers to it were hidden", l.To, times, hidden[l.To])
		}
	}
	t.Logf("%d answers of %d were hidden", len(hidden), len(s.Mails()))
}
