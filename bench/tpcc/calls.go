package main

import "context"

// The five transactions.
type verb int

const (
	newOrder verb = iota
	payment
	orderStatus
	delivery
	stockLevel
	verbs
)

// String is the name of the action.
func (v verb) String() string {
	return [verbs]string{"new_order", "payment", "order_status", "delivery", "stock_level"}[v]
}

// deck is how often each comes among 23 calls.
var deck = [verbs]int{newOrder: 10, payment: 10, orderStatus: 1, delivery: 1, stockLevel: 1}

// call is one transaction that a terminal asks for.
type call struct {
	verb verb
	// district is where it is asked, home that of the customer.
	district int
	// customer is a number, or 0 for somebody of the last name.
	customer  int
	last      string
	amount    int
	carrier   int
	threshold int
	lines     []callLine
	// void says that the last line names an item that is not there.
	void bool
}

type callLine struct{ item, quantity int }

// answer is what a system says to a call.
type answer struct {
	// refused says that a New-Order named an item that is not there, and left nothing.
	refused bool
	// delivered is how many orders a Delivery delivered.
	delivered int
}

// session is one terminal's connection to a system under load. One goroutine uses it.
type session interface {
	do(ctx context.Context, c *call) (answer, error)
	close() error
}

// terminal draws the calls of one terminal, cards of a shuffled deck.
type terminal struct {
	chance
	scale    scale
	district int // of its Stock-Levels
	cards    []verb
}

func newTerminal(s scale, n int, seed uint64) *terminal {
	return &terminal{chance: newChance(seed, uint64(100+n)), scale: s, district: n%districts + 1}
}

func (t *terminal) next() *call {
	if len(t.cards) == 0 {
		for v, n := range deck {
			for range n {
				t.cards = append(t.cards, verb(v))
			}
		}
		t.Shuffle(len(t.cards), func(i, j int) {
			t.cards[i], t.cards[j] = t.cards[j], t.cards[i]
		})
	}
	c := &call{verb: t.cards[0], district: t.between(1, districts)}
	t.cards = t.cards[1:]
	switch c.verb {
	case newOrder:
		c.customer = t.customer()
		t.order(c)
	case payment:
		t.who(c)
		c.amount = t.between(1_00, 5_000_00)
	case orderStatus:
		t.who(c)
	case delivery:
		c.carrier = t.between(1, 10)
	case stockLevel:
		c.district, c.threshold = t.district, t.between(10, 20)
	}
	return c
}

func (t *terminal) customer() int { return t.uneven(1023, unevenID, 1, t.scale.Customers) }

// who picks a customer, six of ten by last name.
func (t *terminal) who(c *call) {
	if t.IntN(100) < 60 {
		c.last = lastName(t.uneven(255, unevenRun, 0, t.scale.names()-1))
	} else {
		c.customer = t.customer()
	}
}

// order draws different items; one order in a hundred ends with one that is not there.
func (t *terminal) order(c *call) {
	c.lines = make([]callLine, t.between(5, 15))
	seen := map[int]bool{}
	for i := range c.lines {
		item := 0
		for item == 0 || seen[item] {
			item = t.uneven(8191, unevenItem, 1, t.scale.Items)
		}
		seen[item] = true
		c.lines[i] = callLine{item, t.between(1, 10)}
	}
	if c.void = t.IntN(100) == 0; c.void {
		c.lines[len(c.lines)-1].item = t.scale.Items + 1
	}
}
