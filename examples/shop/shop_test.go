// Package shop_test uses the example shop as people do: in a browser, on the real server.
package shop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"

	"github.com/galleybackend/galley/examples"
	"github.com/galleybackend/galley/internal/do/server"
)

// patience is how long a step in the browser may take.
const patience = 20 * time.Second

// controls are the roles that need a name.
var controls = map[string]bool{
	"button": true, "link": true, "textbox": true, "searchbox": true, "checkbox": true,
	"combobox": true, "spinbutton": true, "dialog": true,
}

func TestTheShopInABrowser(t *testing.T) {
	shop := serve(t)
	address := shop.Address
	var list struct{ Items []struct{ ID string } }
	get(t, address+"/api/products?code=85123A", &list)
	buyAs(t, address, "cleo@example.com", list.Items[0].ID)
	p := browse(t, address)

	t.Run("what sells best stands in front", func(t *testing.T) {
		p := p.in(t)
		p.until(`document.querySelector(".best-list li[data-sold='1'] b")
			.textContent.startsWith("White hanging")`)
		p.look("front")
	})

	t.Run("shelves go on without repeating anything", func(t *testing.T) {
		p := p.in(t)
		p.until(`document.querySelectorAll(".card[data-product]").length === 24`)
		p.until(`document.querySelector(".found").textContent === "2,180 products"`)
		p.click("#more")
		p.until(`document.querySelectorAll(".card[data-product]").length === 48`)
		p.until(`new Set([...document.querySelectorAll(".card")].map((c) => c.dataset.product))
			.size === 48`)
		p.look("shelves")
	})

	t.Run("sorting by price puts the cheapest first", func(t *testing.T) {
		p := p.in(t)
		p.do(chromedp.SetValue(chromedp.CSS("#sort"), "price,name"))
		p.run(`document.querySelector("#sort").dispatchEvent(new Event("change"))`)
		p.until(`location.hash.includes("sort=price") && (() => {
			const prices = [...document.querySelectorAll(".card .price")]
				.map((e) => Number(e.textContent.slice(1)));
			return prices.length === 24 && prices.every((n, i) => i === 0 || prices[i - 1] <= n);
		})()`)
	})

	t.Run("search finds words of a name and takes every character as text", func(t *testing.T) {
		p := p.in(t)
		p.typed("#q", "retrospot mug")
		p.until(`(() => {
			const names = [...document.querySelectorAll(".card[data-product] h3")]
				.map((e) => e.textContent.toLowerCase());
			return names.length > 0 && names.every((n) => n.includes("retrospot") && n.includes("mug"));
		})()`)
		p.typed("#q", `" || true || "`)
		p.until(`document.querySelector(".empty h2")?.textContent === "Nothing on the shelves for that"`)
		p.look("nothing")
		p.typed("#q", `\u0022`)
		p.until(`document.querySelector(".empty h2") &&
			document.querySelector("h1").textContent === "“\\u0022”"`)
		p.typed("#q", "85123A")
		p.until(`document.querySelector(".card[data-code='85123A']") &&
			document.querySelectorAll(".card[data-product]").length === 1`)
	})

	t.Run("who signs up has nothing, and a voucher works once", func(t *testing.T) {
		p := p.in(t)
		p.click("#sign-in")
		p.until(`document.querySelector("#account").open`)
		p.look("sign-in")
		p.click("#swap")
		p.typed("#account-name", "Dora")
		p.typed("#account-email", "dora@example.com")
		p.typed("#account-password", "a good long secret")
		p.click("#account-go")
		p.until(`document.querySelector("#balance")?.textContent === "£0.00"`)
		p.typed("#voucher", "welcome50")
		p.click("#claim")
		p.until(`document.querySelector("#balance").textContent === "£50.00"`)
		p.typed("#voucher", "WELCOME50")
		p.click("#claim")
		p.refused("form.block", "You have already claimed this voucher.")
		p.typed("#voucher", "NOSUCHCODE")
		p.click("#claim")
		p.refused("form.block", "This voucher code is not valid.")
		p.look("wallet")
	})

	t.Run("more than the wallet holds is refused, what it holds is bought", func(t *testing.T) {
		p := p.in(t)
		p.typed("#q", "white hanging heart t-light")
		p.until(`document.querySelector(".card[data-code='85123A'] .add")`)
		p.click(".card[data-code='85123A'] .add")
		p.until(`document.querySelector("#cart-count").textContent === "1"`)
		p.click("#open-cart")
		p.quantity("85123A", 100)
		p.click("#pay")
		p.refused("#cart", "Your wallet balance is too low.")
		p.look("refused")
		command := eval[string](p, `document.querySelector("#cart .why code").textContent`)
		why, err := shop.Run(t.Context(), strings.Fields(command)[1:]...)
		if err != nil || !strings.Contains(string(why), "insufficient_funds") {
			t.Errorf("%s: %v\n%s", command, err, why)
		}
		p.quantity("85123A", 2)
		p.until(`!document.querySelector("#cart .problem")`)
		p.choose("#ship-to", "DE")
		p.until(`/^Post £\d+\.\d\d, 4 days · Courier/.test(document.querySelector("#rates").textContent)`)
		p.typed("#discount", "NOSUCHCODE")
		p.click("#pay")
		p.refused("#cart", "This discount code is not valid.")
		p.look("cart")
		p.typed("#discount", "heart10")
		full := pence(t, eval[string](p, `document.querySelector("#cart-total").textContent`))
		paid := full - full/10
		p.click("#pay")
		p.until(`document.querySelector("#thanks")`)
		p.look("thanks")
		p.click("#cart .empty .button")
		p.until(`document.querySelectorAll(".order[open] .line").length === 1`)
		p.until(`document.querySelector(".order-total").textContent === ` + pounds(paid))
		p.until(`document.querySelector(".order .line b").textContent.startsWith("White hanging")`)
		p.until(`document.querySelector("#wallet").textContent === ` + pounds(5000-paid))
		p.look("orders")
	})

	t.Run("the last piece goes to one of two", func(t *testing.T) {
		p := p.in(t)
		p.open("#/?sort=stock%2Cname&stock=1")
		p.until(`document.querySelector(".card .badge.last")`)
		id := eval[string](p, `document.querySelector(".card[data-product]").dataset.product`)
		p.click(".card[data-product] .add")
		p.until(`document.querySelector("#cart-count").textContent === "1"`)
		buyAs(t, address, "cleo@example.com", id)
		p.click("#open-cart")
		p.until(`document.querySelector("#cart .short")`)
		p.click("#pay")
		p.refused("#cart", "Someone else bought the last one.")
		p.until(`document.querySelector("#cart .short").textContent.includes("Sold out")`)
		p.look("sold-out")
		p.click("#cart .short .link")
		p.until(`document.querySelector("#cart-count").textContent === "0"`)
		p.click("#cart .close")
	})

	t.Run("an order without an answer stays one order when asked for again", func(t *testing.T) {
		p := p.in(t)
		before := pence(t, eval[string](p, `document.querySelector("#wallet").textContent`))
		p.open("#/?q=85123A")
		p.until(`document.querySelector(".card[data-code='85123A'] .add")`)
		p.click(".card[data-code='85123A'] .add")
		p.click("#open-cart")
		p.until(`document.querySelector("#pay")`)
		p.run(`{
			const real = window.fetch;
			window.fetch = async (...args) => {
				const answer = await real(...args);
				if (!String(args[0]).includes("/actions/checkout")) return answer;
				window.fetch = real;
				throw new TypeError("the connection was lost");
			};
		}`)
		price := pence(t, eval[string](p, `document.querySelector("#cart-total").textContent`))
		p.click("#pay")
		p.until(`document.querySelector("#cart .waiting h3")
			?.textContent === "This order has no answer yet"`)
		p.look("lost")
		p.do(chromedp.Reload())
		p.until(`document.querySelector("#wallet").textContent !== ""`)
		p.click("#open-cart")
		p.click("#again")
		p.until(`document.querySelector("#cart .empty").textContent.includes("nothing was paid twice")`)
		p.until(`document.querySelector("#wallet").textContent === ` + pounds(before-price))
		p.click("#cart .empty .button")
		p.until(`document.querySelectorAll(".order").length === 2`)
	})

	t.Run("a card fills the wallet, once, also while its bank fails", func(t *testing.T) {
		p := p.in(t)
		before := pence(t, eval[string](p, `document.querySelector("#wallet").textContent`))
		p.click("#wallet-link")
		p.choose("#top-up-card", "pm_card_flaky")
		p.choose("#top-up-amount", "2500")
		p.click("#top-up")
		p.until(`document.querySelector("#charging .hint").textContent.includes("did not answer")`)
		p.look("charging")
		p.do(chromedp.Reload()) // the shop goes on, and the page finds its way back to it
		p.until(`document.querySelector("#charging progress")`)
		p.until(`document.querySelector("#charging .paid")`)
		p.until(`document.querySelector("#wallet").textContent === ` + pounds(before+2500))
		p.until(`document.querySelector("#balance").textContent === ` + pounds(before+2500))
		p.look("charged")
		p.choose("#top-up-card", "pm_card_declined")
		p.click("#top-up")
		p.until(`document.querySelector("#charging .problem-title").textContent === "The card was declined."`)
		p.until(`document.querySelector("#wallet").textContent === ` + pounds(before+2500))
		p.look("declined")
	})

	t.Run("who signs out sees nothing of it", func(t *testing.T) {
		p := p.in(t)
		p.click("#wallet-link")
		p.click("#sign-out")
		p.until(`!document.querySelector("#sign-in").hidden &&
			document.querySelector("#wallet").textContent === ""`)
		p.open("#/orders")
		p.until(`document.querySelector("main .empty")
			?.textContent.includes("Sign in to see what you bought.")`)
	})
}

// serve runs the shop on a copy of its seed.
func serve(t *testing.T) *server.Server {
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
	at := provide(t, dir, s.App, front.URL)
	for _, name := range []string{"galley.yaml", "jobs/charge_card.ts"} {
		name = filepath.Join(s.App, name)
		text, err := os.ReadFile(name)
		if err == nil {
			text = bytes.ReplaceAll(text, []byte("http://127.0.0.1:4242"), []byte(at))
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
	return s
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

// A page is one tab of the browser.
type page struct {
	t   *testing.T
	ctx context.Context
}

// complaint is what a browser may say about a refusal: it counts every answer from 400 on
// as a resource that could not be loaded.
const complaint = "the server responded with a status of 409"

// browse opens the shop in a browser. What the console says in the whole test must be about
// refusals alone.
func browse(t *testing.T, address string) page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true))
	allocator, stopBrowser := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		stopBrowser()
		t.Fatalf("start chromium (`make setup` installs it): %v", err)
	}
	messages := chromedp.Console(ctx)
	var heard sync.WaitGroup
	var bad []string
	heard.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Source == "network" && strings.Contains(m.Text, complaint) {
				continue
			}
			bad = append(bad, fmt.Sprintf("%s: %s (%s)", m.Type, m.Text, m.URL))
		}
	})
	t.Cleanup(func() {
		closeTab()
		stopBrowser()
		heard.Wait()
		for _, m := range bad {
			t.Errorf("the console says %s", m)
		}
	})
	p := page{t, ctx}
	p.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	return p
}

func (p page) in(t *testing.T) page { return page{t, p.ctx} }

func (p page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.fatal(err)
	}
}

// fatal shows where the page is stuck.
func (p page) fatal(err error) {
	p.t.Helper()
	shot := filepath.Join(p.t.ArtifactDir(), "stuck.png")
	if picture, e := chromedp.Run(p.ctx, chromedp.CaptureScreenshot()); e == nil {
		_ = os.WriteFile(shot, picture, 0o600) // the error below is what counts
	}
	p.t.Fatalf("%v (see %s)", err, shot)
}

func (p page) run(script string) { p.do(chromedp.Evaluate[chromedp.Void](script)) }

// click presses an element once the page is at rest: what is busy is about to be drawn anew.
func (p page) click(selector string) {
	p.t.Helper()
	p.until(`!document.querySelector("[aria-busy=true]")`)
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// typed replaces what a field holds, key by key.
func (p page) typed(selector, text string) {
	p.t.Helper()
	field := chromedp.CSS(selector)
	p.do(chromedp.WaitVisible(field))
	p.run(fmt.Sprintf("document.querySelector(%s).select()", quote(selector)))
	p.do(chromedp.SendKeys(field, text))
}

// choose takes an option of a list.
func (p page) choose(selector, value string) {
	p.t.Helper()
	p.do(chromedp.WaitVisible(chromedp.CSS(selector)),
		chromedp.SetValue(chromedp.CSS(selector), value))
	p.run(fmt.Sprintf(`document.querySelector(%s).dispatchEvent(new Event("change"))`, quote(selector)))
}

func (p page) open(hash string) { p.run("location.hash = " + quote(hash)) }

// quantity asks for so many pieces in the open cart.
func (p page) quantity(code string, n int) {
	p.t.Helper()
	field := fmt.Sprintf(`document.querySelector("#cart .line[data-code='%s'] input")`, code)
	p.until(field)
	p.run(fmt.Sprintf(`{ const f = %s; f.value = %d; f.dispatchEvent(new Event("change")); }`,
		field, n))
}

// until waits until an expression holds, and fails the test if it never does.
func (p page) until(expression string) {
	p.t.Helper()
	script := fmt.Sprintf(`new Promise((yes, no) => {
		const end = performance.now() + %d;
		(function look() {
			let holds = false;
			try { holds = Boolean(%s); } catch { }
			if (holds) yes(true);
			else if (performance.now() > end) no(new Error("this never came true"));
			else setTimeout(look, 15);
		})();
	})`, patience.Milliseconds()/2, expression)
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	wait := chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise)
	if _, err := chromedp.Run(ctx, wait); err != nil {
		p.fatal(fmt.Errorf("%s: %w", expression, err))
	}
}

func eval[T any](p page, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.fatal(fmt.Errorf("%s: %w", expression, err))
	}
	return value
}

// refused waits for a refusal and for the command that tells what decided it.
func (p page) refused(within, sentence string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`(() => {
		const problem = document.querySelector(%s + " .problem[role=alert]");
		return problem?.querySelector(".problem-title").textContent === %s &&
			/^galley why \S{8,}$/.test(problem.querySelector(".why code").textContent);
	})()`, quote(within), quote(sentence)))
}

// look checks what is on the screen at a wide and at a narrow width: nothing sticks out, every
// control has a name, no id stands twice. The pictures are artifacts of the test.
func (p page) look(name string) {
	p.t.Helper()
	for _, width := range []int64{360, 1280} {
		height := int64(900)
		if width < 600 {
			height = 740
		}
		p.do(chromedp.EmulateViewport(width, height))
		if got := eval[int64](p, `document.documentElement.scrollWidth`); got > width {
			p.t.Errorf("%s is %d wide on a screen of %d", name, got, width)
		}
		picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			p.fatal(err)
		}
		file := filepath.Join(p.t.ArtifactDir(), fmt.Sprintf("%s-%d.png", name, width))
		if err := os.WriteFile(file, picture, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	twice := eval[[]string](p, `[...document.querySelectorAll("[id]")].map((e) => e.id)
		.filter((id, i, all) => all.indexOf(id) !== i)`)
	if len(twice) > 0 {
		p.t.Errorf("%s has ids that stand twice: %v", name, twice)
	}
	tree, err := chromedp.Call(p.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		p.fatal(err)
	}
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil || !controls[strings.Trim(string(node.Role.Value), `"`)] {
			continue
		}
		if node.Name == nil || string(node.Name.Value) == `""` || len(node.Name.Value) == 0 {
			p.t.Errorf("%s has a %s without a name", name, node.Role.Value)
		}
	}
}

func quote(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(out)
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
