package live_test

import (
	"fmt"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
)

const shelf = `
app: shelf
auth: {sign_in: [password]}
collections:
  users:
    fields: {name: string, staff: {type: bool, default: false}, phone: {type: string, default: "1", read: "auth != null && auth.staff"}}
    allow: {read: "true"}
  boards:
    fields: {name: string}
    allow: {read: "true"}
  lists:
    fields: {board: {type: boards, on_delete: cascade}, name: string}
    allow: {read: "true"}
  cards:
    fields:
      list: {type: lists?, on_delete: clear}
      title: string
      author: users?
    allow: {read: "true"}
  items:
    fields: {list: {type: lists, on_delete: cascade}, title: string}
    allow: {read: "true"}
`

func TestWhatIsDeletedWithWhatItPointsToIsTaken(t *testing.T) {
	onBoth(t, shelf, func(t *testing.T, n *node) {
		b, other := n.create("boards", `{"name":"b"}`), n.create("boards", `{"name":"c"}`)
		for _, collection := range []string{"items", "cards"} {
			lists := []ident.Record{n.create("lists", `{"board":%q,"name":"l"}`, b),
				n.create("lists", `{"board":%q,"name":"m"}`, b), n.create("lists", `{"board":%q,"name":"o"}`, other)}
			r := n.reader("")
			followed := []*followed{r.follow(collection, "filter", `list.board == "`+string(b)+`"`),
				r.follow(collection, "filter", `list.board.name == "b"`), r.follow(collection, "list", string(lists[0]))}
			one := n.create(collection, `{"list":%q,"title":"t"}`, lists[0])
			two := n.create(collection, `{"list":%q,"title":"t"}`, lists[0])
			r.reached(n.update(collection, two, `{"list":%q}`, lists[1]))
			for _, f := range followed {
				if f.have[one] == "" {
					t.Fatalf("%s: it is not there", f.query.Params)
				}
			}
			// Both commits may be handled in the state after them.
			n.update(collection, two, `{"list":%q}`, lists[2])
			n.delete("lists", lists[1])
			r.reached(n.delete("lists", lists[0]))
			for _, f := range followed {
				if err := n.same("", f); err != nil {
					t.Errorf("%s of %s: %v", f.query.Params, collection, err)
				}
			}
			// Who was not there meanwhile is told when he comes back.
			list := n.create("lists", `{"board":%q,"name":"l"}`, b)
			r.reached(n.do(engine.Create, collection, "", fmt.Sprintf(`{"list":%q,"title":"t"}`, list)).Seq)
			before := *followed[0]
			if len(before.have) != 1 {
				t.Fatalf("%d are there", len(before.have))
			}
			if err := n.restart(); err != nil {
				t.Fatal(err)
			}
			n.delete("lists", list)
			q := before.query
			q.Since = before.at
			s, err := n.connect("").Follow(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			before.start(&s)
			if err := n.same("", &before); err != nil {
				t.Errorf("%s of %s, back again: %v", q.Params, collection, err)
			}
		}
	})
}

func TestAFilterLooksOnlyAtFieldsThatItsCallerMayRead(t *testing.T) {
	onBoth(t, shelf, func(t *testing.T, n *node) {
		ana := n.create("users", `{"name":"ana","email":"a@x.org","staff":true}`)
		bo := n.create("users", `{"name":"bo","email":"b@x.org"}`)
		n.create("cards", `{"title":"t","author":%q}`, bo)
		r := n.reader(ana)
		f := r.follow("cards", "filter", `author.phone == "1"`)
		if len(f.have) != 1 {
			t.Fatalf("%d cards are there", len(f.have))
		}
		r.reached(n.update("users", ana, `{"staff":false}`))
		if f.ended == nil {
			t.Error("what may not be asked any more is followed still")
		}
	})
}
