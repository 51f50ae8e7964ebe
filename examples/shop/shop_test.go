// Package shop_test uses the example shop as people do: in a browser, on the real server.
package shop_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/galleybackend/galley/examples"
	"github.com/galleybackend/galley/internal/do/browser"
	"github.com/galleybackend/galley/internal/do/server"
)

func TestTheShopInABrowser(t *testing.T) {
	shop, bank := serve(t)
	address := shop.Address
	var list struct{ Items []struct{ ID string } }
	get(t, address+"/api/products?code=85123A", &list)
	buyAs(t, address, "cleo@example.com", list.Items[0].ID)
	p := browse(t, address)

	t.Run("what sells best stands in front", func(t *testing.T) {
		p := p.in(t)
		p.Until(`document.querySelector(".best-list li[data-sold='1'] b")
			.textContent.startsWith("White hanging")`)
		p.Look("front")
	})

	t.Run("shelves go on without repeating anything", func(t *testing.T) {
		p := p.in(t)
		p.Until(`document.querySelectorAll(".card[data-product]").length === 24`)
		p.Until(`document.querySelector(".found").textContent === "2,180 products"`)
		p.Click("#more")
		p.Until(`document.querySelectorAll(".card[data-product]").length === 48`)
		p.Until(`new Set([...document.querySelectorAll(".card")].map((c) => c.dataset.product))
			.size === 48`)
		p.Look("shelves")
	})

	t.Run("sorting by price puts the cheapest first", func(t *testing.T) {
		p := p.in(t)
		p.Run(`document.querySelector("#sort").value = "price,name"`)
		p.Run(`document.querySelector("#sort").dispatchEvent(new Event("change"))`)
		p.Until(`location.hash.includes("sort=price") && (() => {
			const prices = [...document.querySelectorAll(".card .price")]
				.map((e) => Number(e.textContent.slice(1)));
			return prices.length === 24 && prices.every((n, i) => i === 0 || prices[i - 1] <= n);
		})()`)
	})

	t.Run("search finds words of a name and takes every character as text", func(t *testing.T) {
		p := p.in(t)
		p.Type("#q", "retrospot mug")
		p.Until(`(() => {
			const names = [...document.querySelectorAll(".card[data-product] h3")]
				.map((e) => e.textContent.toLowerCase());
			return names.length > 0 && names.every((n) => n.includes("retrospot") && n.includes("mug"));
		})()`)
		p.Type("#q", `" || true || "`)
		p.Until(`document.querySelector(".empty h2")?.textContent === "Nothing on the shelves for that"`)
		p.Look("nothing")
		p.Type("#q", `\u0022`)
		p.Until(`document.querySelector(".empty h2") &&
			document.querySelector("h1").textContent === "“\\u0022”"`)
		p.Type("#q", "85123A")
		p.Until(`document.querySelector(".card[data-code='85123A']") &&
			document.querySelectorAll(".card[data-product]").length === 1`)
	})

	t.Run("who signs up has nothing, and a voucher works once", func(t *testing.T) {
		p := p.in(t)
		p.Click("#sign-in")
		p.Until(`document.querySelector("#account").open`)
		p.Look("sign-in")
		p.Click("#swap")
		p.Type("#account-name", "Dora")
		p.Type("#account-email", "dora@example.com")
		p.Type("#account-password", "a good long secret")
		p.Click("#account-go")
		p.Until(`document.querySelector("#balance")?.textContent === "£0.00"`)
		p.Type("#voucher", "welcome50")
		p.Click("#claim")
		p.Until(`document.querySelector("#balance").textContent === "£50.00"`)
		p.Type("#voucher", "WELCOME50")
		p.Click("#claim")
		p.refused("form.block", "You have already claimed this voucher.")
		p.Type("#voucher", "NOSUCHCODE")
		p.Click("#claim")
		p.refused("form.block", "This voucher code is not valid.")
		p.Look("wallet")
	})

	t.Run("more than the wallet holds is refused, what it holds is bought", func(t *testing.T) {
		p := p.in(t)
		p.Type("#q", "white hanging heart t-light")
		p.Until(`document.querySelector(".card[data-code='85123A'] .add")`)
		p.Click(".card[data-code='85123A'] .add")
		p.Until(`document.querySelector("#cart-count").textContent === "1"`)
		p.Click("#open-cart")
		p.quantity("85123A", 100)
		p.Click("#pay")
		p.refused("#cart", "Your wallet balance is too low.")
		p.Look("refused")
		command := browser.Value[string](p.Page, `document.querySelector("#cart .why code").textContent`)
		why, err := shop.Run(t.Context(), strings.Fields(command)[1:]...)
		if err != nil || !strings.Contains(string(why), "insufficient_funds") {
			t.Errorf("%s: %v\n%s", command, err, why)
		}
		p.quantity("85123A", 2)
		p.Until(`!document.querySelector("#cart .problem")`)
		p.choose("#ship-to", "DE")
		p.Until(`/^Post £\d+\.\d\d, 4 days · Courier/.test(document.querySelector("#rates").textContent)`)
		p.Type("#discount", "NOSUCHCODE")
		p.Click("#pay")
		p.refused("#cart", "This discount code is not valid.")
		p.Look("cart")
		p.Type("#discount", "heart10")
		full := pence(t, browser.Value[string](p.Page, `document.querySelector("#cart-total").textContent`))
		paid := full - full/10
		p.Click("#pay")
		p.Until(`document.querySelector("#thanks")`)
		p.Look("thanks")
		p.Click("#cart .empty .button")
		p.Until(`document.querySelectorAll(".order[open] .line").length === 1`)
		p.Until(`document.querySelector(".order-total").textContent === ` + pounds(paid))
		p.Until(`document.querySelector(".order .line b").textContent.startsWith("White hanging")`)
		p.Until(`document.querySelector("#wallet").textContent === ` + pounds(5000-paid))
		p.Look("orders")
	})

	t.Run("the last piece goes to one of two", func(t *testing.T) {
		p := p.in(t)
		p.open("#/?sort=stock%2Cname&stock=1")
		p.Until(`document.querySelector(".card .badge.last")`)
		id := browser.Value[string](p.Page, `document.querySelector(".card[data-product]").dataset.product`)
		p.Click(".card[data-product] .add")
		p.Until(`document.querySelector("#cart-count").textContent === "1"`)
		buyAs(t, address, "cleo@example.com", id)
		p.Click("#open-cart")
		p.Until(`document.querySelector("#cart .short")`)
		p.Click("#pay")
		p.refused("#cart", "Someone else bought the last one.")
		p.Until(`document.querySelector("#cart .short").textContent.includes("Sold out")`)
		p.Look("sold-out")
		p.Click("#cart .short .link")
		p.Until(`document.querySelector("#cart-count").textContent === "0"`)
		p.Click("#cart .close")
	})

	t.Run("an order without an answer stays one order when asked for again", func(t *testing.T) {
		p := p.in(t)
		before := pence(t, browser.Value[string](p.Page, `document.querySelector("#wallet").textContent`))
		p.open("#/?q=85123A")
		p.Until(`document.querySelector(".card[data-code='85123A'] .add")`)
		p.Click(".card[data-code='85123A'] .add")
		p.Click("#open-cart")
		p.Until(`document.querySelector("#pay")`)
		p.Run(`{
			const real = window.fetch;
			window.fetch = async (...args) => {
				const answer = await real(...args);
				if (!String(args[0]).includes("/actions/checkout")) return answer;
				window.fetch = real;
				throw new TypeError("the connection was lost");
			};
		}`)
		price := pence(t, browser.Value[string](p.Page, `document.querySelector("#cart-total").textContent`))
		p.Click("#pay")
		p.Until(`document.querySelector("#cart .waiting h3")
			?.textContent === "This order has no answer yet"`)
		p.Look("lost")
		p.Reload()
		p.Until(`document.querySelector("#wallet").textContent !== ""`)
		p.Click("#open-cart")
		p.Click("#again")
		p.Until(`document.querySelector("#cart .empty").textContent.includes("nothing was paid twice")`)
		p.Until(`document.querySelector("#wallet").textContent === ` + pounds(before-price))
		p.Click("#cart .empty .button")
		p.Until(`document.querySelectorAll(".order").length === 2`)
	})

	t.Run("a card fills the wallet, once, also while its bank fails", func(t *testing.T) {
		p := p.in(t)
		before := pence(t, browser.Value[string](p.Page, `document.querySelector("#wallet").textContent`))
		p.Click("#wallet-link")
		p.choose("#top-up-card", "pm_card_flaky")
		p.choose("#top-up-amount", "2500")
		p.Click("#top-up")
		p.Until(`document.querySelector("#charging .hint").textContent.includes("did not answer")`)
		p.Look("charging")
		p.Reload() // the shop goes on, and the page finds its way back to it
		p.Until(`document.querySelector("#charging progress")`)
		bank.open()
		p.Until(`document.querySelector("#charging .paid")`)
		p.Until(`document.querySelector("#wallet").textContent === ` + pounds(before+2500))
		p.Until(`document.querySelector("#balance").textContent === ` + pounds(before+2500))
		p.Look("charged")
		p.choose("#top-up-card", "pm_card_declined")
		p.Click("#top-up")
		p.Until(`document.querySelector("#charging .problem-title").textContent === "The card was declined."`)
		p.Until(`document.querySelector("#wallet").textContent === ` + pounds(before+2500))
		p.Look("declined")
	})

	t.Run("who signs out sees nothing of it", func(t *testing.T) {
		p := p.in(t)
		p.Click("#wallet-link")
		p.Click("#sign-out")
		p.Until(`!document.querySelector("#sign-in").hidden &&
			document.querySelector("#wallet").textContent === ""`)
		p.open("#/orders")
		p.Until(`document.querySelector("main .empty")
			?.textContent.includes("Sign in to see what you bought.")`)
	})
}

// bank stands before the provider. The card that works at the third try works no sooner than a
// test has opened the bank, however long the test has looked at what is shown meanwhile.
type bank struct {
	*httptest.Server
	open func()
}

// flakyTries is how often the card is asked before it works.
const flakyTries = 3

func newBank(t *testing.T, provider string) *bank {
	t.Helper()
	to, err := url.Parse(provider)
	if err != nil {
		t.Fatal(err)
	}
	var opened atomic.Bool
	var tries atomic.Int64
	through := httputil.NewSingleHostReverseProxy(to)
	b := &bank{open: func() { opened.Store(true) }}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("pm_card_flaky")) && tries.Add(1) >= flakyTries && !opened.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

// serve runs the shop on a copy of its seed.
func serve(t *testing.T) (*server.Server, *bank) {
	t.Helper()
	dir := t.TempDir()
	s := &server.Server{
		Galley: filepath.Join(dir, "galley"), App: filepath.Join(dir, "app"),
		Data: filepath.Join(dir, "data"), Dev: true,
	}
	if err := server.Build(t.Context(), filepath.Join("..", ".."), s.Galley); err != nil {
		t.Fatal(err)
	}
	files, _ := examples.Template("shop")
	if err := os.CopyFS(s.App, files); err != nil {
		t.Fatal(err)
	}
	// The provider tells the shop, and the shop asks the provider: the one that comes first
	// speaks with somebody who knows the other.
	var shop atomic.Pointer[url.URL]
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(shop.Load())
	}})
	t.Cleanup(front.Close)
	bank := newBank(t, provide(t, dir, s.App, front.URL))
	for _, name := range []string{"galley.yaml", "jobs/charge_card.ts"} {
		name = filepath.Join(s.App, name)
		text, err := os.ReadFile(name)
		if err == nil {
			text = bytes.ReplaceAll(text, []byte("http://127.0.0.1:4242"), []byte(bank.URL))
			err = os.WriteFile(name, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	shop.Store(address)
	return s, bank
}

var provides = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// provide runs the provider beside the shop and returns its address.
func provide(t *testing.T, dir, app, front string) string {
	t.Helper()
	program := filepath.Join(dir, "provider")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./provider")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the provider: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-listen", "127.0.0.1:0", "-app", app, "-hook",
		front+"/hooks/stripe")
	talk, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("the provider ended: %v", err)
		}
	})
	line, err := bufio.NewReader(talk).ReadString('\n')
	at := provides.FindString(line)
	if err != nil || at == "" {
		t.Fatalf("the provider says %q: %v", line, err)
	}
	return at
}

// TestOwnTests runs galley check and galley test as people do.
func TestOwnTests(t *testing.T) {
	galley := filepath.Join(t.TempDir(), "galley")
	if err := server.Build(t.Context(), filepath.Join("..", ".."), galley); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "test"} {
		out, err := exec.CommandContext(t.Context(), galley, command).CombinedOutput()
		if err != nil {
			t.Errorf("galley %s: %v\n%s", command, err, out)
		}
	}
}

func get(t *testing.T, url string, out any) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, res.Status, err)
	}
}

// buyAs buys one piece as a demo user, over HTTP.
func buyAs(t *testing.T, address, email, product string) {
	t.Helper()
	var session struct{ Token string }
	post(t, address+"/api/auth/sign-in", "", map[string]any{
		"email": email, "password": "password", "token": true,
	}, &session)
	var order struct{ Order string }
	post(t, address+"/api/actions/checkout", session.Token, map[string]any{
		"items": []any{map[string]any{"product": product, "quantity": 1}},
	}, &order)
}

func post(t *testing.T, url, token string, body, out any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Idempotency-Key", t.Name())
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it was read to its end
	if err := json.NewDecoder(res.Body).Decode(out); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s, %v", url, res.Status, err)
	}
}

// page is the shop in a browser.
type page struct {
	browser.Page
	t *testing.T
}

// browse opens the shop in a browser. What the console says in the whole test must be about
// refusals alone.
func browse(t *testing.T, address string) page {
	t.Helper()
	return page{browser.Open(t, address), t}
}

func (p page) in(t *testing.T) page { return page{p.In(t), t} }

// choose takes an option of a list.
func (p page) choose(selector, value string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("document.querySelector(%s)?.checkVisibility()", browser.Quote(selector)))
	p.Run(fmt.Sprintf(`{ const f = document.querySelector(%s); f.value = %s; f.dispatchEvent(new Event("change")); }`,
		browser.Quote(selector), browser.Quote(value)))
}

func (p page) open(hash string) { p.Run("location.hash = " + browser.Quote(hash)) }

// quantity asks for so many pieces in the open cart.
func (p page) quantity(code string, n int) {
	p.t.Helper()
	field := fmt.Sprintf(`document.querySelector("#cart .line[data-code='%s'] input")`, code)
	p.Until(field)
	p.Run(fmt.Sprintf(`{ const f = %s; f.value = %d; f.dispatchEvent(new Event("change")); }`,
		field, n))
}

// refused waits for a refusal and for the command that tells what decided it.
func (p page) refused(within, sentence string) {
	p.t.Helper()
	p.Until(fmt.Sprintf(`(() => {
		const problem = document.querySelector(%s + " .problem[role=alert]");
		return problem?.querySelector(".problem-title").textContent === %s &&
			/^galley why \S{8,}$/.test(problem.querySelector(".why code").textContent);
	})()`, browser.Quote(within), browser.Quote(sentence)))
}

// pence reads pounds as the page writes them.
func pence(t *testing.T, pounds string) int64 {
	t.Helper()
	var whole, rest int64
	plain := strings.ReplaceAll(pounds, ",", "")
	if _, err := fmt.Sscanf(plain, "£%d.%d", &whole, &rest); err != nil {
		t.Fatalf("%q is no amount: %v", pounds, err)
	}
	return whole*100 + rest
}

// pounds writes pence as a string of JavaScript, the way the page writes them.
func pounds(pence int64) string { return fmt.Sprintf(`"£%d.%02d"`, pence/100, pence%100) }
