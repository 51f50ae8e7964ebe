package blackbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/ident"
)

// together runs fn for 0 to n-1 at once and waits for all.
func together(n int, fn func(int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	all.Wait()
}

// crowd is how many buyers there are, and rounds how often they all want one thing.
const (
	crowd   = 40
	rounds  = 200
	writers = 8
)

// lastItem sells the last item to a crowd, round after round, while others write,
// and returns in how many rounds it was sold more or less than once.
func lastItem(a *arena, rounds int) (wrong int) {
	buyers := make([]*caller, crowd)
	for i := range buyers {
		buyers[i] = a.signUp(fmt.Sprintf("buyer%d@example.com", i))
		a.fund(buyers[i], rounds*100)
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	for i := range writers {
		others.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					_, _ = buyers[i].try("POST", "/api/notes", `{"title":"busy"}`, key()...)
				}
			}
		})
	}
	for range rounds {
		pen := a.put("products", `{"name":"the last pen","price":100,"stock":1}`)
		var sold, refused atomic.Int64
		together(crowd, func(i int) {
			got, err := buyers[i].try("POST", "/api/actions/buy", `{"product":"`+pen+`"}`, key()...)
			switch {
			case err != nil:
			case got.status == 200:
				sold.Add(1)
			case got.status == 409 && got.text("code") == "out_of_stock":
				refused.Add(1)
			}
		})
		orders := a.asAdmin("GET", "/api/orders?product="+pen, "").want(a.t, 200).items()
		if sold.Load() != 1 || refused.Load() != crowd-1 || len(orders) != 1 {
			wrong++
		}
	}
	close(stop)
	others.Wait()
	return wrong
}

func TestTheLastItemIsSoldOnce(t *testing.T) {
	if wrong := lastItem(open(t, flaw{}, false), rounds); wrong > 0 {
		t.Errorf("the last item was not sold exactly once in %d of %d rounds", wrong, rounds)
	}
	flawed := open(t, flaw{file: []string{"out_of_stock: record.stock >= 0",
		"out_of_stock: record.stock >= -99"}}, false)
	if lastItem(flawed, 3) == 0 {
		t.Error("without the check the last item is still sold once: the test sees nothing")
	}
}

// addTogether adds one a hundred times at once and returns what it came to.
func addTogether(a *arena) int {
	counter := a.put("counters", `{}`)
	together(100, func(int) {
		_, _ = a.ana.try("PATCH", "/api/counters/"+counter, `{"n":{"$add":1}}`, key()...)
	})
	return a.ana.do("GET", "/api/counters/"+counter, "").want(a.t, 200).number("n")
}

func TestAddsAreNeverLost(t *testing.T) {
	if n := addTogether(open(t, flaw{}, false)); n != 100 {
		t.Errorf("100 times one is %d", n)
	}
	if n := addTogether(open(t, flaw{front: readModifyWrite}, false)); n == 100 {
		t.Error("a server that reads, adds and writes loses nothing: the test sees nothing")
	}
}

// readModifyWrite does what an operator is there to avoid.
func readModifyWrite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPatch {
			next.ServeHTTP(w, r)
			return
		}
		get := r.Clone(r.Context())
		get.Method, get.Body, get.ContentLength = http.MethodGet, http.NoBody, 0
		was := record(next, get)
		n, _ := was.json()["n"].(float64)
		next.ServeHTTP(w, withBody(r, fmt.Sprintf(`{"n":%d}`, int(n)+1)))
	})
}

func TestOneKeyHasOneEffect(t *testing.T) {
	try := func(f flaw) (orders, paid int, answers map[string]int) {
		a := open(t, f, false)
		a.fund(a.ana, 100_000)
		pen := a.put("products", `{"name":"pen","price":100,"stock":1000}`)
		k := key()
		var mu sync.Mutex
		answers = map[string]int{}
		together(100, func(int) {
			for { // in_progress means: ask again
				got, err := a.ana.try("POST", "/api/actions/buy", `{"product":"`+pen+`"}`, k...)
				if err == nil && got.text("code") == "in_progress" {
					continue
				}
				mu.Lock()
				defer mu.Unlock()
				answers[fmt.Sprint(got.status, string(got.body), err)]++
				return
			}
		})
		list := a.ana.do("GET", "/api/orders", "").want(t, 200)
		return len(list.items()), 100_000 - a.wallet(a.ana), answers
	}
	orders, paid, answers := try(flaw{})
	if orders != 1 || paid != 100 || len(answers) != 1 {
		t.Errorf("%d orders, %d paid, answers %v", orders, paid, answers)
	}
	orders, _, _ = try(flaw{front: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Idempotency-Key") != "" {
				r.Header.Set("Idempotency-Key", string(ident.NewRecord()))
			}
			next.ServeHTTP(w, r)
		})
	}})
	if orders == 1 {
		t.Error("keys that do not hold make one order: the test sees nothing")
	}
}

// record lets a handler answer into memory.
func record(h http.Handler, r *http.Request) answer {
	w := &memory{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(w, r)
	return answer{w.status, w.header, []byte(w.text.String())}
}

// memory is a ResponseWriter that keeps what is written.
type memory struct {
	header http.Header
	status int
	text   strings.Builder
}

func (m *memory) Header() http.Header         { return m.header }
func (m *memory) WriteHeader(status int)      { m.status = status }
func (m *memory) Write(p []byte) (int, error) { return m.text.Write(p) }

// send passes an answer on.
func (a answer) send(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// withBody is the request with another body.
func withBody(r *http.Request, body string) *http.Request {
	out := r.Clone(r.Context())
	out.Body, out.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return out
}

// bodyOf reads the body and leaves it to be read again.
func bodyOf(r *http.Request) (*http.Request, string) {
	text, _ := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	length := r.ContentLength
	out := withBody(r, string(text))
	out.ContentLength = length
	return out, string(text)
}

// valid reports whether a text is JSON.
func valid(text string) bool { return json.Valid([]byte(text)) }
