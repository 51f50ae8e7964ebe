package channel_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
)

const kinds = `app: kinds
auth: {sign_in: [password]}
collections:
  users: {fields: {name: string, team: "teams?"}}
  teams: {fields: {open: {type: bool, default: false}}}
  boards: {fields: {open: {type: bool, default: false}, owner: "users?", team: "teams?"}}
  members:
    fields:
      board: {type: boards, on_delete: cascade}
      user:  {type: users?, on_delete: cascade}
      role:  {type: [viewer, editor], default: viewer}
channels:
  a/{board:boards}: {join: 'members.exists(m, m.board == board && m.user == auth)'}
  b/{board:boards}: {join: 'members.exists(m, m.board == board && m.user == auth && m.role != "viewer")'}
  c/{board:boards}: {join: 'board.open || board.owner == auth'}
  d/{board:boards}: {join: 'members.filter(m, m.board == board.id).size() > 1'}
  e/{board:boards}: {join: '!members.exists(m, m.user == auth)'}
  f/{board:boards}: {join: 'members.all(m, m.user == auth || m.board != board)'}
  g/{board:boards}: {join: 'members.exists(m, m.user == auth && m.board.open)'}
  h/{board:boards}: {join: 'board.team.open'}
  i/{board:boards}: {join: 'auth != null && auth.team == board.team'}
  j/{board:boards}: {join: 'boards.exists(b, b == board && b.owner == null)'}
  k/{board:boards}: {join: 'users.exists(u, u.name == "x" && members.exists(m, m.user == u && m.board == board))'}
  l/{board:boards}: {join: 'members.exists_one(m, m.board == board && m.user == auth)'}
`

// Whatever changes: who may be in a channel now and could not before, or the other way
// round, is found by the change.
func TestAChangeFindsAllWhomItConcerns(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 4))
	w := open(t, kinds)
	a := w.engine.App()
	ids := map[string][]string{}
	pick := func(collection string) string { // a record, or null
		if all := ids[collection]; len(all) > 0 && chance.IntN(4) > 0 {
			return `"` + all[chance.IntN(len(all))] + `"`
		}
		return "null"
	}
	for range 2 {
		ids["teams"] = append(ids["teams"], w.create("teams", `{}`))
	}
	for _, name := range []string{"x", "y"} {
		ids["users"] = append(ids["users"], w.user(name))
	}
	for range 2 {
		ids["boards"] = append(ids["boards"], w.create("boards", `{}`))
	}
	boards, users := slices.Clone(ids["boards"]), append(slices.Clone(ids["users"]), "")
	may := func() map[string]bool {
		out := map[string]bool{}
		for _, c := range a.Channels() {
			for _, b := range boards {
				for _, u := range users {
					name := c.Name[:1] + "/" + b
					_, err := w.engine.Enter(t.Context(), engine.Call{Verb: engine.Rejoin, Target: name,
						Trusted: true, Subject: subject(u)})
					out[name+" "+u] = err == nil
				}
			}
		}
		return out
	}
	truths := []string{"true", "false"}
	before, flips := may(), 0
	for range 120 {
		switch chance.IntN(7) {
		case 0, 1:
			if b := pick("boards"); b != "null" && len(ids["members"]) < 6 {
				ids["members"] = append(ids["members"], w.create("members", `{"board":`+b+`,"user":`+pick("users")+
					`,"role":"`+[]string{"viewer", "editor"}[chance.IntN(2)]+`"}`))
			}
		case 2:
			if all := ids["members"]; len(all) > 0 {
				i := chance.IntN(len(all))
				w.remove("members", all[i])
				ids["members"] = slices.Delete(all, i, i+1)
			}
		case 3:
			if all := ids["members"]; len(all) > 0 {
				w.update("members", all[chance.IntN(len(all))], `{"user":`+pick("users")+`,"role":"editor"}`)
			}
		case 4:
			w.update("boards", boards[chance.IntN(2)], `{"owner":`+pick("users")+`,"team":`+pick("teams")+
				`,"open":`+truths[chance.IntN(2)]+`}`)
		case 5:
			w.update("teams", ids["teams"][chance.IntN(2)], `{"open":`+truths[chance.IntN(2)]+`}`)
		default:
			w.update("users", ids["users"][chance.IntN(2)], `{"team":`+pick("teams")+`}`)
		}
		after := may()
		for key, now := range after {
			if now == before[key] {
				continue
			}
			flips++
			name, user, _ := strings.Cut(key, " ")
			x, params := a.Channel(name)
			found := false
			for _, c := range w.entry().Changes {
				reach := x.Reach(&c)
				found = found || slices.Contains(x.Reads, c.Collection) && x.Concerns(&c, params, ident.Record(user)) &&
					(reach.All || slices.Contains(reach.Params, params.Slots[0].Text()) ||
						slices.Contains(reach.Users, ident.Record(user)))
			}
			if !found {
				t.Errorf("%s may be in %s: %v, which nobody is told by %+v", user, x.Name, now, w.entry().Changes)
			}
		}
		before = after
	}
	if flips < 50 {
		t.Errorf("only %d answers changed", flips)
	}
}

// subject is the user of the id, or nobody.
func subject(user string) ident.Subject {
	if user == "" {
		return ident.Subject{}
	}
	return ident.Subject{Who: ident.User, ID: ident.Record(user)}
}
