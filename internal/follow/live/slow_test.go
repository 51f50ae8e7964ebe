package live_test

import (
	"strconv"
	"testing"

	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
)

func TestWhatTakesLongIsKeptTrue(t *testing.T) {
	onBoth(t, board, func(t *testing.T, n *node) {
		n.quick = 1 // every query takes longer
		if err := n.restart(); err != nil {
			t.Fatal(err)
		}
		ana := n.create("users", `{"name":"ana","email":"a@x.org"}`)
		b := n.create("boards", `{"name":"b"}`)
		list := n.create("lists", `{"board":%q,"name":"l"}`, b)
		member := n.create("members", `{"board":%q,"user":%q}`, b, ana)
		r := n.reader(ana)
		f := r.follow("cards", "filter", `list.board == "`+string(b)+`"`, "limit", "3", "sort", "-position")
		var cards []ident.Record
		for i := range 6 {
			cards = append(cards, n.create("cards", `{"list":%q,"title":"t","position":%d}`, list, i))
		}
		// Who begins while others write, may be told more than once, and the truth last.
		var more []*followed
		for i := range 20 {
			n.update("cards", cards[i%6], `{"title":%q}`, strconv.Itoa(i))
			more = append(more, r.follow("cards", "filter", "position < "+strconv.Itoa(i)+".5"))
		}
		r.reached(n.delete("cards", cards[5]))
		for _, f := range append(more, f) {
			r.until("what is in the list", func() bool { return n.same(ana, f) == nil })
		}
		n.delete("members", member)
		r.until("the end of the membership", func() bool { return len(f.have) == 0 })
		at := f.at
		n.create("members", `{"board":%q,"user":%q}`, b, ana)
		r.until("the membership again", func() bool { return len(f.have) == 3 })
		if s, err := n.connect(ana).Follow(t.Context(), live.Query{Collection: "cards",
			Params: f.query.Params, Since: at}); err != nil || len(s.Items)+len(s.Changes) != 3 {
			t.Errorf("who comes back is told %+v, %v", s, err)
		}
	})
}
