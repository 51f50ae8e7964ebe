// Package browser uses a page as people do, in Chromium, for tests of the examples. It waits
// for what a page shows, looks at it at a narrow and a wide width, and listens to the
// console. What a page should show is its test's to say.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// patience is how long a step in the browser may take, and what is waited for half as long:
// a browser among other tests on a small machine is slow.
const patience = 2 * time.Minute

// controls are the roles that need a name.
var controls = []string{"button", "link", "textbox", "searchbox", "checkbox", "combobox",
	"spinbutton", "dialog"}

// complaints are what a browser may say: it counts every answer from 400 on as a resource that
// could not be loaded, and a page is told no in that way.
var complaints = []string{"status of 401", "status of 403", "status of 404", "status of 409",
	"status of 422"}

// Page is one tab of a browser.
type Page struct {
	t   *testing.T
	ctx context.Context
	// expected is what the console may say beside complaints.
	expected *expected
}

type expected struct {
	mu    sync.Mutex
	texts []string
}

func (e *expected) has(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.texts, func(part string) bool {
		return strings.Contains(text, part)
	})
}

// Open opens an address in a browser of its own, which is closed with the test. Whatever the
// console says but of answers that say no fails the test.
func Open(t *testing.T, address string) Page {
	t.Helper()
	// A browser that is ended leaves files in its folder for temporary ones. The path is short
	// because sockets are among them.
	temp, err := os.MkdirTemp("", "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) }) // what ends late may write there still
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Env("TMPDIR="+temp),
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
	p := Page{t: t, ctx: ctx, expected: new(expected)}
	p.hear(func() {
		closeTab()
		stopBrowser()
	})
	p.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	return p
}

// Beside opens an address in the same browser for somebody else, with cookies of his own.
func (p Page) Beside(t *testing.T, address string) Page {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(p.ctx, chromedp.WithNewBrowserContext())
	if err := chromedp.Do(ctx); err != nil {
		closeTab()
		t.Fatal(err)
	}
	other := Page{t: t, ctx: ctx, expected: new(expected)}
	other.hear(closeTab)
	other.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	return other
}

// hear listens to the console until the end of the test, which ends the page.
func (p Page) hear(end func()) {
	messages := chromedp.Console(p.ctx)
	var heard sync.WaitGroup
	var bad []string
	heard.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			// In dev the client tells a developer of each call that was refused.
			allowed := m.Source == "network" && slices.ContainsFunc(complaints, func(c string) bool {
				return strings.Contains(m.Text, c)
			}) || m.Type == "info" && strings.HasPrefix(m.Text, "galley: ")
			if !allowed && !p.expected.has(m.Text) {
				bad = append(bad, fmt.Sprintf("%s: %s (%s)", m.Type, m.Text, m.URL))
			}
		}
	})
	p.t.Cleanup(func() {
		end()
		heard.Wait()
		for _, m := range bad {
			p.t.Errorf("the console says %s", m)
		}
	})
}

// Expect has the console say what holds one of these texts, from now on.
func (p Page) Expect(texts ...string) {
	p.expected.mu.Lock()
	defer p.expected.mu.Unlock()
	p.expected.texts = append(p.expected.texts, texts...)
}

// In returns the same page for a test within its test.
func (p Page) In(t *testing.T) Page { return Page{t, p.ctx, p.expected} }

func (p Page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.fatal(err)
	}
}

// fatal shows where the page is stuck.
func (p Page) fatal(err error) {
	p.t.Helper()
	shot := filepath.Join(p.t.ArtifactDir(), "stuck.png")
	if picture, e := chromedp.Run(p.ctx, chromedp.CaptureScreenshot()); e == nil {
		_ = os.WriteFile(shot, picture, 0o600) // the error below is what counts
	}
	p.t.Fatalf("%v (see %s)", err, shot)
}

// Go goes to an address.
func (p Page) Go(address string) {
	p.t.Helper()
	p.do(chromedp.Navigate(address))
}

// Run runs a script in the page.
func (p Page) Run(script string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](script))
}

// Click presses an element once the page is at rest: what is busy is about to be drawn anew.
func (p Page) Click(selector string) {
	p.t.Helper()
	p.Until(`!document.querySelector("[aria-busy=true]")`)
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// Type replaces what a field holds, key by key.
func (p Page) Type(selector, text string) {
	p.t.Helper()
	field := chromedp.CSS(selector)
	p.do(chromedp.WaitVisible(field))
	p.Run(fmt.Sprintf("document.querySelector(%s).select()", Quote(selector)))
	p.do(chromedp.SendKeys(field, text))
}

// Until waits until an expression of JavaScript holds, and fails the test if it never does.
func (p Page) Until(expression string) {
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

// Value is what an expression of JavaScript comes to.
func Value[T any](p Page, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.fatal(fmt.Errorf("%s: %w", expression, err))
	}
	return value
}

// Look checks what is on the screen, narrow and wide, light and dark: nothing sticks out, text
// can be told from what it stands on, every control has a name, no id stands twice. The
// pictures are artifacts of the test.
func (p Page) Look(name string) {
	p.t.Helper()
	p.Until(`!document.querySelector("[aria-busy=true]")`)
	for _, width := range []int64{360, 1280} {
		for _, scheme := range []string{"dark", "light"} {
			p.do(chromedp.EmulateViewport(width, 900))
			p.scheme(scheme)
			p.Until(`document.getAnimations().every((a) => a.playState !== "running" ||
				a.effect.getComputedTiming().endTime === Infinity)`)
			if got := Value[int64](p, `document.documentElement.scrollWidth`); got > width {
				p.t.Errorf("%s is %d wide on a screen of %d", name, got, width)
			}
			for _, dim := range Value[[]string](p, contrast) {
				p.t.Errorf("%s, %s, %d wide: %s", name, scheme, width, dim)
			}
			picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
			if err != nil {
				p.fatal(err)
			}
			file := fmt.Sprintf("%s-%d-%s.png", name, width, scheme)
			if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), file), picture, 0o600); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	twice := Value[[]string](p, `[...document.querySelectorAll("[id]")].map((e) => e.id)
		.filter((id, i, all) => all.indexOf(id) !== i)`)
	if len(twice) > 0 {
		p.t.Errorf("%s has ids that stand twice: %v", name, twice)
	}
	p.names(name)
}

// scheme makes the page light or dark.
func (p Page) scheme(scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		p.fatal(err)
	}
}

// names checks that every control has a name.
func (p Page) names(name string) {
	p.t.Helper()
	tree, err := chromedp.Call(p.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		p.fatal(err)
	}
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil ||
			!slices.Contains(controls, strings.Trim(string(node.Role.Value), `"`)) {
			continue
		}
		if node.Name == nil || string(node.Name.Value) == `""` || len(node.Name.Value) == 0 {
			p.t.Errorf("%s has a %s without a name", name, node.Role.Value)
		}
	}
}

// contrast lists texts with less contrast than WCAG 2 asks for at the level AA. What cannot be
// pressed is exempt there.
const contrast = `(() => {
	const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
	const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
	const parts = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = parts(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c;
		}
		return [255, 255, 255];
	};
	const found = [];
	const open = document.querySelector("dialog[open]") ?? document.body;
	const walk = document.createTreeWalker(open, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
		if (!text || !e.checkVisibility() || e.closest(":disabled, script, style, svg, noscript")) continue;
		const style = getComputedStyle(e);
		const [a, b] = [light(parts(style.color)), light(ground(e))];
		const got = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const large = parseFloat(style.fontSize) >= 24;
		if (got < (large ? 3 : 4.5)) found.push(text.slice(0, 40) + " has a contrast of " + got.toFixed(2));
	}
	return found;
})()`

// Quote writes a text as JavaScript.
func Quote(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(out)
}
