//go:build faults

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	netmail "net/mail"
	"regexp"
	"strings"
	"time"
)

const (
	// soakSettle bounds how long jobs and events take to come to rest, soakMails how long
	// the next mail is waited for: one that was refused waits half a minute and a little.
	soakSettle, soakMails = 90 * time.Second, 45 * time.Second
	// soakTries is how often the job of the shop is tried before it waits for a human.
	soakTries = 9
)

// charge is a payment of the provider's ledger.
type charge struct {
	ID       string
	Key      string
	Amount   int64
	Refunded bool
	Metadata struct{ User string }
	Events   []struct {
		Type    string
		Sent    int
		Arrived bool
		Status  int
		Said    string
	}
}

// refund tells whether the shop was told that the money went back, and whether it said
// that the wallet does not hold it.
func (c charge) refund() (told, short bool) {
	for _, e := range c.Events {
		if e.Type == "charge.refunded" {
			return e.Arrived, e.Status == http.StatusConflict && strings.Contains(e.Said, "insufficient_funds")
		}
	}
	return false, false
}

// ledger asks the provider for everything that it charged.
func (s *soak) ledger() (all []charge) {
	s.Helper()
	var out struct {
		Asked, Declined int
		Payments        []charge
	}
	s.must(json.Unmarshal(s.provided(http.MethodGet, "/ledger"), &out))
	return out.Payments
}

func (s *soak) provided(method, path string) []byte {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.provider+path, nil)
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+s.keys["STRIPE_KEY"])
	res, err := s.fleet.client.Do(req)
	s.must(err)
	defer res.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(res.Body)
	s.must(err)
	if res.StatusCode != http.StatusOK {
		s.Fatalf("the provider answered %s: %s", res.Status, text.Bytes())
	}
	return text.Bytes()
}

// aJob is a job as commands list it.
type aJob struct {
	ID, Name, State, Problem string
	Attempt                  int
}

// jobsOf lists the jobs of a state.
func (s *soak) jobsOf(state string) (all []aJob) {
	s.Helper()
	for cursor, more := "", true; more; {
		var page struct {
			Items []aJob
			Next  string
		}
		s.local(http.MethodGet, "/local/jobs?limit=1000&state="+state+"&cursor="+cursor, &page)
		all = append(all, page.Items...)
		cursor, more = page.Next, page.Next != ""
	}
	return all
}

// aLetter is a letter as commands list it.
type aLetter struct{ ID, Email, State, Why string }

func (s *soak) letters(state string) (all []aLetter) {
	s.Helper()
	out, err := s.fleet.nodes[0].Run(s.Context(), "mail", "list", "--json", "--limit", "1000",
		"--state", state)
	s.must(err)
	return rows[aLetter](s, out)
}

// rows reads a JSON value a line.
func rows[T any](s *soak, text []byte) (all []T) {
	s.Helper()
	for line := range bytes.Lines(text) {
		var one T
		s.must(json.Unmarshal(line, &one))
		all = append(all, one)
	}
	return all
}

// export returns all records of a collection.
func export[T any](s *soak, collection string) []T {
	s.Helper()
	out, err := s.fleet.nodes[0].Run(s.Context(), "export", collection)
	s.must(err)
	return rows[T](s, out)
}

// settle ends what goes wrong outside, waits until everything is done that is to be done,
// and returns the letters that still wait.
func (s *soak) settle() []aLetter {
	s.Helper()
	s.provided(http.MethodPost, "/trouble?share=0&refunds=0")
	// What failed often waits for long; it is asked for at once. What failed too often waits
	// for a human, who looks why, and asks for it again.
	began, moved, mails := time.Now(), time.Now(), 0
	for ; ; <-time.After(time.Second) {
		waiting := s.jobsOf("waiting")
		for _, j := range s.jobsOf("failed") {
			if j.Problem == "card_declined" {
				continue
			}
			s.Logf("the job %s was set apart: %s", j.ID, j.Problem)
			if j.Attempt < soakTries {
				s.Errorf("it was tried %d times, want %d", j.Attempt, soakTries)
			}
			waiting = append(waiting, j)
		}
		for _, j := range waiting {
			s.local(http.MethodPost, "/local/jobs/"+j.ID+"/retry", nil)
		}
		running := s.jobsOf("running")
		events := 0
		for _, c := range s.ledger() {
			for _, e := range c.Events {
				_, short := c.refund()
				if !e.Arrived && (e.Type != "charge.refunded" || !short) {
					events++
				}
			}
		}
		var letters []aLetter
		for _, state := range []string{"waiting", "claimed", "sending"} {
			letters = append(letters, s.letters(state)...)
		}
		if n := len(s.mails.Mails()); n > mails {
			mails, moved = n, time.Now()
		}
		switch n := len(waiting) + len(running); {
		case n+events > 0 && time.Since(began) > soakSettle:
			s.Fatalf("after %v %d jobs have not ended and %d events not arrived", soakSettle, n, events)
		case n+events == 0 && (len(letters) == 0 || time.Since(moved) > soakMails):
			return letters
		}
	}
}

// judge compares the shop with what the people, the provider and the mail server know.
func (s *soak) judge(waiting []aLetter) {
	s.Helper()
	type order struct {
		ID, Customer string
		Total        int64
	}
	orders := map[string]order{}
	spent := map[string]int64{}
	for _, o := range export[order](s, "orders") {
		orders[o.ID] = o
		spent[o.Customer] += o.Total
	}
	for key, id := range s.orders {
		if _, ok := orders[id]; !ok {
			s.Errorf("%s was answered with the order %s, which is not there", key, id)
		}
	}
	if len(orders) != len(s.orders) || len(orders) == 0 {
		s.Errorf("there are %d orders, %d were answered", len(orders), len(s.orders))
	}
	s.judgeWallets(spent)
	s.judgeJobs()
	s.judgeStock()
	ids := make(map[string]bool, len(orders))
	for id := range orders {
		ids[id] = true
	}
	s.judgeReceipts(ids, waiting)
}

// judgeWallets asks that each wallet holds what was charged, less what went back and what
// was spent, and that each payment stands in it once.
func (s *soak) judgeWallets(spent map[string]int64) {
	s.Helper()
	type topUp struct {
		Payment, User, Status string
		Amount                int64
	}
	known := map[string]topUp{}
	for _, t := range export[topUp](s, "top_ups") {
		known[t.Payment] = t
	}
	held := map[string]int64{}
	back, short := 0, map[string]int64{}
	charges := s.ledger()
	for _, c := range charges {
		job, _, _ := strings.Cut(c.Key, "/")
		if !s.jobs[job] {
			s.Errorf("nobody asked for the payment %s of %s", c.ID, c.Key)
		}
		told, poor := c.refund()
		want := topUp{c.ID, c.Metadata.User, "paid", c.Amount}
		if held[c.Metadata.User] += c.Amount; told {
			held[c.Metadata.User] -= c.Amount
			want.Status = "refunded"
			back++
		} else if c.Refunded {
			if !poor {
				s.Errorf("the refund of %s did not arrive: %+v", c.ID, c.Events)
			}
			short[c.Metadata.User] = c.Amount
		}
		if known[c.ID] != want {
			s.Errorf("a payment is %+v in the shop, want %+v", known[c.ID], want)
		}
	}
	if len(known) != len(charges) || len(charges) == 0 {
		s.Errorf("the shop knows %d payments, the provider %d", len(known), len(charges))
	}
	type user struct {
		ID     string
		Wallet int64
	}
	for _, u := range export[user](s, "users") {
		if want := held[u.ID] - spent[u.ID]; u.Wallet != want {
			s.Errorf("the wallet of %s holds %d, want %d", u.ID, u.Wallet, want)
		}
		if u.Wallet >= short[u.ID] && short[u.ID] > 0 {
			s.Errorf("a refund of %d was refused for a wallet of %d", short[u.ID], u.Wallet)
		}
	}
	s.Logf("%d payments, %d of them went back, %d could not", len(charges), back, len(short))
}

// judgeJobs asks that nothing failed but for a card that was declined, and that nothing
// is set apart.
func (s *soak) judgeJobs() {
	s.Helper()
	failed, done := s.jobsOf("failed"), s.jobsOf("done")
	for _, j := range failed {
		if j.Problem != "card_declined" {
			s.Errorf("the job %s failed: %s", j.ID, j.Problem)
		}
	}
	seen := map[string]bool{}
	for _, j := range append(failed, done...) {
		seen[j.ID] = true
	}
	for id := range s.jobs {
		if !seen[id] {
			s.Errorf("the job %s has not ended", id)
		}
	}
	if len(seen) != len(s.jobs) {
		s.Errorf("%d jobs ended, %d were asked for", len(seen), len(s.jobs))
	}
	out, err := s.fleet.nodes[0].Run(s.Context(), "followers", "parked", "--json")
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		s.Errorf("entries are set apart: %s %v", out, err)
	}
	s.Logf("%d cards were charged by jobs, %d declined", len(done), len(failed))
}

// judgeStock asks that what left the shelves is what was sold.
func (s *soak) judgeStock() {
	s.Helper()
	type item struct {
		Product  string
		Quantity int64
	}
	left := map[string]int64{}
	for i := range soakArticles {
		left[article(i)] = soakStock
	}
	for _, x := range export[item](s, "order_items") {
		left[x.Product] -= x.Quantity
	}
	type product struct {
		ID    string
		Stock int64
	}
	for _, p := range export[product](s, "products") {
		if p.Stock != left[p.ID] {
			s.Errorf("there are %d of %s, want %d", p.Stock, p.ID, left[p.ID])
		}
	}
}

var orderNumber = regexp.MustCompile(`Your order ([0-9a-z]{26}) of`)

// judgeReceipts asks that each order has one receipt in the mail server, or one that waits
// still. What came twice is counted: it can only be mails that were on their way when a node
// died, or when the mail server took them without a word.
func (s *soak) judgeReceipts(orders map[string]bool, waiting []aLetter) {
	s.Helper()
	letterOf, sourceOf := map[string]string{}, map[string]string{}
	queued := map[string]bool{}
	for _, l := range waiting {
		queued[l.ID] = true
	}
	copies := 0
	for _, m := range s.mails.Mails() {
		msg, err := netmail.ReadMessage(bytes.NewReader(m.Source))
		s.must(err)
		letter, _, _ := strings.Cut(strings.Trim(msg.Header.Get("Message-ID"), "<>"), "@")
		plain := strings.ReplaceAll(string(m.Source), "=\r\n", "")
		found := orderNumber.FindStringSubmatch(plain)
		if found == nil || !orders[found[1]] {
			s.Errorf("a mail is about no order: %s", m.Source)
			continue
		}
		order := found[1]
		if first, ok := letterOf[order]; ok && first != letter {
			s.Errorf("the order %s has the receipts %s and %s", order, first, letter)
		}
		if first, ok := sourceOf[letter]; ok {
			if copies++; first != string(m.Source) {
				s.Errorf("the letter %s came as two mails:\n%s\n%s", letter, first, m.Source)
			}
		}
		letterOf[order], sourceOf[letter] = letter, string(m.Source)
		delete(queued, letter)
	}
	if missing := len(orders) - len(letterOf); missing != len(queued) {
		s.Errorf("%d orders have no receipt, and %d letters wait: %v", missing, len(queued),
			waiting[:min(len(waiting), 10)])
	}
	for _, state := range []string{"parked", "bounced", "unknown", "held"} {
		if bad := s.letters(state); len(bad) > 0 {
			s.Errorf("letters are %s: %v", state, bad)
		}
	}
	// Four mails at most are on their way at a node.
	window := 4*s.kills + int(s.broken.Load())
	if copies > window {
		s.Errorf("%d mails came twice, and at most %d could", copies, window)
	}
	s.Logf("%d orders: %d receipts came, %d wait; %d mails came twice, as %d kills and %d lost answers allow",
		len(orders), len(letterOf), len(queued), copies, s.kills, s.broken.Load())
}

// String is for messages.
func (l aLetter) String() string { return fmt.Sprintf("%s %s %s %s", l.ID, l.Email, l.State, l.Why) }
