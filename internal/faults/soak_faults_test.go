//go:build faults

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/galleybackend/galley/examples"
	"github.com/galleybackend/galley/internal/do/server"
	"github.com/galleybackend/galley/internal/outbound/smtptest"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

const (
	// soakEnv has how many checkouts there are on each database, soakUsual if it is not
	// set.
	soakEnv   = "GALLEY_SOAK"
	soakUsual = 100
	// soakBuyers are the customers, each of whom several clients use.
	soakBuyers, soakClients, soakArticles = 6, 8, 12
	// soakLife is how long all nodes live between two kills, soakThink the longest that a
	// client thinks between two calls: a short soak lasts for several kills that way.
	soakLife  = 1500 * time.Millisecond
	soakThink = 700 * time.Millisecond
	// soakStock is what there is of each article.
	soakStock = 1_000_000
	// The shares of what goes wrong outside: payments, payments that go back, mails that
	// are refused for now, and connections that break after a mail was taken.
	soakTrouble, soakRefunds, soakRefused, soakBroken = "0.3", "0.1", 0.01, 0.005
)

// soak is a shop on some nodes, with a provider and a mail server, and people who buy.
type soak struct {
	*testing.T
	dir, provider string
	keys          map[string]string
	fleet         *fleet
	mails         *smtptest.Server
	// broken counts the mails that were taken without a word, kills the nodes that died.
	broken atomic.Int64
	kills  int
	left   atomic.Int64

	mu     sync.Mutex
	tokens []string
	// orders and refused are what checkouts were answered, by their keys; jobs those that
	// charge cards.
	orders  map[string]string
	refused map[string]bool
	jobs    map[string]bool
}

// TestSoak has people fill their wallets and buy, with a provider that fails in every way,
// a mail server that does, and nodes that are killed. In the end every wallet is what the
// provider charged less what was bought, and each order has its receipt.
func TestSoak(t *testing.T) {
	n := often(t, soakEnv, soakUsual)
	dir := t.TempDir()
	galley, provider := filepath.Join(dir, "galley"), filepath.Join(dir, "provider")
	if err := server.Build(t.Context(), "../..", galley); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", provider, "./examples/shop/provider")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the provider: %v\n%s", err, out)
	}
	soaked := func(t *testing.T, n int, addresses ...string) {
		soaked(t, n, galley, provider, addresses)
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		soaked(t, n, "")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		address := pgtest.Start(t).Database(t)
		soaked(t, n, address, address, address)
	})
}

// soaked is the soak on one database.
func soaked(t *testing.T, n int, galley, provider string, addresses []string) {
	s := &soak{T: t, orders: map[string]string{}, refused: map[string]bool{},
		jobs: map[string]bool{}, keys: map[string]string{}}
	s.open(galley, provider, addresses)
	s.signUp()
	began := time.Now()
	s.left.Store(int64(n))
	done := make(chan struct{})
	var buying sync.WaitGroup
	for i := range soakClients {
		rnd := rand.New(rand.NewPCG(s.fleet.seed, uint64(i)))
		buying.Go(func() { s.buy(rnd, i, n) })
	}
	go func() { buying.Wait(); close(done) }()
	s.kill(done)
	bought := time.Since(began)
	waiting := s.settle()
	s.judge(waiting)
	t.Logf("%d orders and %d refusals in %v with %d kills, settled in %v", len(s.orders),
		len(s.refused), bought.Round(time.Second), s.kills, (time.Since(began) - bought).Round(time.Second))
}

// open starts the mail server, the provider and the nodes.
func (s *soak) open(galley, provider string, addresses []string) {
	s.Helper()
	dir, err := os.MkdirTemp("", "g") // short, because a socket's path is
	s.must(err)
	s.dir = dir
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.mails = smtptest.New(s, smtptest.Options{Fail: s.failMail})
	app := filepath.Join(dir, "app")
	files, ok := examples.Template("shop")
	if !ok {
		s.Fatal("there is no shop")
	}
	s.must(os.CopyFS(app, files))
	secrets, err := fs.ReadFile(files, "secrets.dev")
	s.must(err)
	env := []string{"GALLEY_SMTP_URL=smtp://" + s.mails.Addr, "GALLEY_MAIL_FROM=shop@example.com",
		"GALLEY_URL=http://shop.example.com", "GALLEY_PRIVATE_NETWORKS=127.0.0.1/32"}
	for line := range strings.Lines(string(secrets)) {
		if name, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			s.keys[name] = v
			env = append(env, name+"="+v)
		}
	}
	f := &fleet{T: s.T, seed: uint64(time.Now().UnixNano()), at: make([]string, len(addresses)),
		client: &http.Client{Timeout: attempt, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	s.fleet = f
	s.Logf("seed %d", f.seed)
	front := httptest.NewServer(http.HandlerFunc(s.forward))
	s.Cleanup(front.Close)
	s.provide(provider, app, front.URL)
	for _, name := range []string{"galley.yaml", "jobs/charge_card.ts"} {
		name = filepath.Join(app, name)
		text, err := os.ReadFile(name)
		s.must(err)
		text = bytes.ReplaceAll(text, []byte("http://127.0.0.1:4242"), []byte(s.provider))
		s.must(os.WriteFile(name, text, 0o600))
	}
	var articles strings.Builder
	for i := range soakArticles {
		fmt.Fprintf(&articles, `{"id":%q,"code":"A%d","name":"ARTICLE %d","price":%d,"stock":%d,"listed":true}`+
			"\n", article(i), i, i, 100+37*i, soakStock)
	}
	list := filepath.Join(dir, "articles.jsonl")
	s.must(os.WriteFile(list, []byte(articles.String()), 0o600))
	s.Cleanup(func() {
		f.client.CloseIdleConnections()
		for i, n := range f.nodes {
			if f.at[i] != "" {
				if err := n.Stop(); err != nil {
					s.Error(err)
				}
			}
		}
	})
	for i, address := range addresses {
		f.nodes = append(f.nodes, &server.Server{Galley: galley, App: app, Database: address, Env: env,
			Data: filepath.Join(dir, fmt.Sprint(i))})
		f.start(i)
		if i == 0 {
			_, err := f.nodes[0].Run(s.Context(), "import", "products", list)
			s.must(err)
		}
	}
}

func (s *soak) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func article(i int) string { return fmt.Sprintf("01m00000000000000000001%03d", i) }

// failMail is how the mail server fails.
func (s *soak) failMail(stage smtptest.Stage, _ string) *smtptest.Fault {
	switch {
	case stage == smtptest.Recipient && rand.Float64() < soakRefused:
		return &smtptest.Fault{Code: 451, Text: "not now"}
	case stage == smtptest.Answer && rand.Float64() < soakBroken:
		s.broken.Add(1)
		return &smtptest.Fault{Drop: true}
	}
	return nil
}

var provides = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// provide starts the provider of the shop, which tells what is in front of the nodes.
func (s *soak) provide(program, app, front string) {
	s.Helper()
	cmd := exec.Command(program, "-listen", "127.0.0.1:0", "-app", app, "-hook",
		front+"/hooks/stripe", "-trouble", soakTrouble, "-refunds", soakRefunds, "-hang", "2s")
	talk, err := cmd.StderrPipe()
	s.must(err)
	s.must(cmd.Start())
	s.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil {
			s.Errorf("the provider ended: %v", err)
		}
	})
	line := make([]byte, 200)
	n, err := talk.Read(line)
	s.must(err)
	if s.provider = string(provides.Find(line[:n])); s.provider == "" {
		s.Fatalf("the provider says %s", line[:n])
	}
	go func() { _, _ = io.Copy(io.Discard, talk) }() // it ends with the provider
}

// forward hands what the provider tells to a node that lives.
func (s *soak) forward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	_, at := s.fleet.pick(rand.New(rand.NewPCG(rand.Uint64(), 0)))
	if err != nil || at == "" {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, at+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	req.Header = r.Header.Clone()
	res, err := s.fleet.client.Do(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body) // a node that dies in its answer breaks it off
}

// signUp makes the customers.
func (s *soak) signUp() {
	s.Helper()
	for i := range soakBuyers {
		person := fmt.Sprintf(`"email":"buyer%d@example.com","password":"a good long secret"`, i)
		for _, call := range [][2]string{{"sign-up", `{"name":"Buyer",` + person + `}`},
			{"sign-in", `{"token":true,` + person + `}`}} {
			status, text, err := s.post("/api/auth/"+call[0], "", "", call[1])
			if err != nil || status >= 300 {
				s.Fatalf("%s: %d %s %v", call[0], status, text, err)
			}
			var session struct{ Token string }
			s.must(json.Unmarshal([]byte(text), &session))
			if session.Token != "" {
				s.tokens = append(s.tokens, session.Token)
			}
		}
	}
}

// post sends a call to a node that lives, and returns the answer.
func (s *soak) post(path, token, key, body string) (int, string, error) {
	_, at := s.fleet.pick(rand.New(rand.NewPCG(rand.Uint64(), 0)))
	if at == "" {
		return 0, "", net.ErrClosed
	}
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPost, at+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := s.fleet.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

var requestID = regexp.MustCompile(`"request":"([0-9a-z]+)"`)

// why is the story of a request that failed, from the node that has it.
func (s *soak) why(problem string) string {
	id := requestID.FindStringSubmatch(problem)
	for _, n := range s.fleet.nodes {
		if id == nil {
			break
		}
		if out, err := n.Run(s.Context(), "why", id[1]); err == nil {
			return "\n" + string(out)
		}
	}
	return ""
}

// insist sends a call under one key until some node has answered it.
func (s *soak) insist(token, path, key, body string) (int, string) {
	for began := time.Now(); time.Since(began) < patience && s.Context().Err() == nil; {
		status, text, err := s.post(path, token, key, body)
		if err == nil && status < 500 && !strings.Contains(text, `"code":"in_progress"`) {
			return status, text
		}
		if strings.Contains(text, `"code":"internal"`) {
			s.Errorf("%s %s was answered %s%s", path, key, text, s.why(text))
		}
		<-time.After(pause)
	}
	s.Errorf("%s %s was not answered in %v", path, key, patience)
	return 0, ""
}

// buy fills wallets and buys until there are enough checkouts.
func (s *soak) buy(rnd *rand.Rand, client, all int) {
	cards := []string{"pm_card_visa", "pm_card_visa", "pm_card_visa", "pm_card_flaky", "pm_card_declined"}
	for i := 0; s.left.Add(-1) >= 0 && !s.Failed(); i++ {
		token := s.tokens[rnd.IntN(len(s.tokens))]
		if rnd.IntN(2) == 0 {
			key := fmt.Sprintf("top-up-%d-%d", client, i)
			status, text := s.insist(token, "/api/actions/top_up", key, fmt.Sprintf(
				`{"amount":%d,"card":%q}`, 500+rnd.IntN(9500), cards[rnd.IntN(len(cards))]))
			var out struct{ Job string }
			if err := json.Unmarshal([]byte(text), &out); status != 200 || err != nil {
				s.Errorf("%s: %d %s", key, status, text)
				return
			}
			s.mu.Lock()
			s.jobs[out.Job] = true
			s.mu.Unlock()
		}
		var items []string
		for range 1 + rnd.IntN(3) {
			items = append(items, fmt.Sprintf(`{"product":%q,"quantity":%d}`,
				article(rnd.IntN(soakArticles)), 1+rnd.IntN(4)))
		}
		key := fmt.Sprintf("checkout-%d-%d", client, i)
		status, text := s.insist(token, "/api/actions/checkout", key,
			`{"items":[`+strings.Join(items, ",")+`]}`)
		var out struct{ Order, Code string }
		err := json.Unmarshal([]byte(text), &out)
		s.mu.Lock()
		switch {
		case status == 200 && err == nil:
			s.orders[key] = out.Order
		case status == 409 && out.Code == "insufficient_funds":
			s.refused[key] = true
		default:
			s.Errorf("%s: %d %s", key, status, text)
		}
		s.mu.Unlock()
		if all <= soakUsual {
			<-time.After(rand.N(soakThink))
		}
	}
}

// kill kills nodes until done is closed, and some more while what follows is done.
func (s *soak) kill(done <-chan struct{}) {
	rnd := rand.New(rand.NewPCG(s.fleet.seed, soakClients))
	for more := 2; more > 0; {
		select {
		case <-done:
			more--
		case <-time.After(soakLife + rand.N(soakLife)):
		}
		i := rnd.IntN(len(s.fleet.nodes))
		s.fleet.kill(i)
		<-time.After(rand.N(400 * time.Millisecond))
		s.fleet.start(i)
		s.kills++
	}
}

// local asks the local door of the first node.
func (s *soak) local(method, path string, out any) {
	s.Helper()
	client := &http.Client{Timeout: attempt, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "0", "galley.sock"))
		}}}
	req, err := http.NewRequestWithContext(s.Context(), method, "http://app"+path, nil)
	s.must(err)
	res, err := client.Do(req)
	s.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	s.must(err)
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil || res.StatusCode != 200 {
			s.Fatalf("%s %s: %s %s %v", method, path, res.Status, text, err)
		}
	}
}
