package channel_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
)

// talkative is an app whose channels show long texts of its users.
const talkative = `app: talkative
auth: {sign_in: [password]}
collections:
  users:
    fields: {about: {type: text, default: ""}}
    allow: {read: "true"}
channels:
  room/{room}:
    join: true
    send: true
    presence: [about]
`

func TestWhatIsShownOfAUserIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{ears: map[*ear]bool{}}
		db, a := database(t, talkative)
		one := on(t, db, a, channel.Config{Bus: &end{wire: w}})
		other := on(t, db, a, channel.Config{Bus: &end{wire: w}})
		about := func(size int) string { return fmt.Sprintf(`{"about":%q}`, strings.Repeat("a", size)) }
		ana := one.create("users", `{"email":"a@example.com",`+about(60_000)[1:])
		ben := one.create("users", `{"email":"b@example.com",`+about(10_000)[1:])
		big, fits, far := one.connect("c1", ana), one.connect("c2", ben), other.connect("c3", "")
		if _, err := far.join("room/x", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := big.join("room/x", ""); !fault.Is(err, fault.TooLarge) {
			t.Errorf("more than a channel shows: got %v", err)
		}
		if _, err := fits.join("room/x", ""); err != nil {
			t.Fatal(err)
		}
		far.until(`"joined":{"who":"c2"`) // the other process hears of those who fit
		one.update("users", ben, about(60_000))
		fits.until(`"ended":{"code":"too_large"}`)
		far.until(`"left":"c2"`)
	})
}

func TestALongAnswerToAJoinCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, kanban)
		state := `"` + strings.Repeat("s", 4000) + `"`
		for i := range 500 {
			if _, err := w.connect(fmt.Sprint("d", i), "").join("room/x", state); err != nil {
				t.Fatal(err)
			}
		}
		g := w.connect("c1", "")
		joined := 0
		for {
			if _, err := g.join("room/x", ""); fault.Is(err, fault.Exhausted) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			joined++
		}
		if joined != 1 {
			t.Errorf("two megabytes were asked for %d times at once", joined)
		}
	})
}

// tokens signs people in by one of several tokens of theirs, "name user", of which only
// those last that were not withdrawn.
type tokens struct{ gone *sync.Map }

func (k tokens) Authenticate(ctx context.Context, r auth.Reader, credential string) (
	ident.Subject, error) {
	if _, gone := k.gone.Load(credential); gone {
		return ident.Subject{}, fault.New(fault.Unauthenticated, "The token has ended.")
	}
	_, user, _ := strings.Cut(credential, " ")
	return ident.Subject{Who: ident.User, ID: ident.Record(user), Session: "s"}, nil
}

func TestAMembershipGoesOnUnderAnotherTokenOfItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, a := database(t, kanban)
		var gone sync.Map
		w := onWith(t, db, a, channel.Config{}, tokens{&gone})
		ana := w.user("Ana")
		g, other := w.connect("c1", "first "+ana), w.connect("c2", "first "+ana)
		for _, m := range []*guest{g, other} {
			if _, err := m.join("room/x", ""); err != nil {
				t.Fatal(err)
			}
		}
		g.until(`"joined":{"who":"c2"`)
		gone.Store("first "+ana, true)
		g.Renew("second " + ana)
		w.update("users", ana, `{"name":"Anna"}`) // which has both judged again
		other.until(`"ended":{"code":"unauthenticated"}`)
		g.until(`"left":"c2"`)
		g.call = engine.Call{ID: ident.NewCall(), Credential: "second " + ana}
		if err := g.send("room/x", "1"); err != nil {
			t.Errorf("the membership has ended: %v", err)
		}
	})
}
