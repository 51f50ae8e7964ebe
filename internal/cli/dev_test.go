package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serving is a command that serves, in this process.
type serving struct {
	t       *testing.T
	address string
	lines   chan string
	stop    func() int
}

// start runs dev or serve until the test ends, and waits for its address.
func (p *place) start(args ...string) *serving {
	p.t.Helper()
	s := p.launch(args...)
	s.listens()
	return s
}

func (s *serving) listens() {
	s.t.Helper()
	_, rest, _ := strings.Cut(s.wait("http://127.0.0.1:"), "http://127.0.0.1:")
	s.address = "http://127.0.0.1:" + strings.Fields(rest)[0]
}

func (p *place) launch(args ...string) *serving {
	s := &serving{t: p.t, lines: make(chan string, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	ended := make(chan int, 1)
	var reading sync.WaitGroup
	scan := func(r io.Reader) {
		for text := bufio.NewScanner(r); text.Scan(); {
			s.lines <- text.Text()
		}
	}
	reading.Go(func() { scan(outR) })
	reading.Go(func() { scan(errR) })
	go func() {
		code := run(ctx, append(args, "--app", p.dir, "--listen", "127.0.0.1:0"), Program{}, nil, outW, errW)
		_, _ = outW.Close(), errW.Close() // the close of a pipe never fails
		ended <- code
	}()
	s.stop = sync.OnceValue(func() int {
		cancel()
		done := make(chan struct{})
		go func() { // what it still says is not wanted
			for range s.lines {
			}
			close(done)
		}()
		code := <-ended
		reading.Wait()
		close(s.lines)
		<-done
		return code
	})
	p.t.Cleanup(func() { s.stop() })
	return s
}

// wait returns the next line with the words.
func (s *serving) wait(words string) string {
	s.t.Helper()
	late := time.After(soon)
	var before []string
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("it ended without saying %q:\n%s", words, strings.Join(before, "\n"))
			}
			if strings.Contains(line, words) {
				return line
			}
			before = append(before, line)
		case <-late:
			s.t.Fatalf("it did not say %q in %s:\n%s", words, soon, strings.Join(before, "\n"))
		}
	}
}

func (s *serving) get(path string) (int, string) {
	s.t.Helper()
	res, err := http.Get(s.address + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

const echo = `import { action } from "galley";
export default action("echo", async (tx, input) => ({ said: "ONE " + input.text }));
`

const withEcho = small + `actions:
  echo:
    allow: "true"
    input: {text: string}
    output: {said: string}
    idempotency: optional
`

// TestBrokenSaveKeepsServing saves files that are broken, mended, changed and unsafe,
// while a reader asks all the time: he is answered every time.
func TestBrokenSaveKeepsServing(t *testing.T) {
	app := strings.Replace(withEcho, `"true"`, "true", 1)
	p := newPlace(t, app)
	p.write("actions/echo.ts", echo)
	p.write("seed/products.jsonl", `{"code":"a","price":5,"stock":2,"note":"kept"}`+"\n")
	s := p.start("dev", "--limits", "off")
	s.wait("ready in")
	var asked, wrong atomic.Int64
	ended := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
			}
			res, err := http.Get(s.address + "/api/products")
			asked.Add(1)
			if err != nil || res.StatusCode != http.StatusOK {
				wrong.Add(1)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body) // only the status counts
			_ = res.Body.Close()
		}
	})
	said := func() string {
		res, err := http.Post(s.address+"/api/actions/echo", "application/json",
			strings.NewReader(`{"text":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var out struct{ Said string }
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out.Said
	}

	p.write("galley.yaml", strings.Replace(app, "record.stock > 0", "record.stok > 0", 1))
	s.wait("did you mean stock")
	s.wait("still serving the last good version")
	p.write("galley.yaml", app)
	s.wait("reloaded")

	p.write("actions/echo.ts", "export default ;;;{")
	s.wait("still serving the last good version")
	if got := said(); got != "ONE x" {
		t.Errorf("the last good code says %q", got)
	}
	p.write("actions/echo.ts", strings.Replace(echo, "ONE", "TWO", 1))
	s.wait("reloaded")
	if got := said(); got != "TWO x" {
		t.Errorf("the new code says %q", got)
	}

	if code, _ := s.get("/api/wishes"); code != http.StatusNotFound {
		t.Errorf("wishes before they are there: %d", code)
	}
	p.write("galley.yaml", strings.Replace(app, "errors:", "  wishes:\n    fields: {text: string}\n"+
		"    allow: {read: true}\nerrors:", 1))
	s.wait("reloaded")
	if code, _ := s.get("/api/wishes"); code != http.StatusOK {
		t.Errorf("wishes: %d", code)
	}

	p.write("galley.yaml", strings.Replace(app, "      note:  text?\n", "", 1))
	s.wait("the change is not safe")
	s.wait("--lose products.note")
	if _, text := s.get("/api/products"); !strings.Contains(text, `"note":"kept"`) {
		t.Errorf("the note is gone: %s", text)
	}
	p.want(exitDone, "Applied", "migrate", "apply", "--lose", "products.note,wishes")
	if _, text := s.get("/api/products"); strings.Contains(text, "note") {
		t.Errorf("the note is still there: %s", text)
	}
	close(ended)
	reader.Wait()
	if wrong.Load() > 0 {
		t.Errorf("of %d requests one was not answered", asked.Load())
	}
	if code := s.stop(); code != exitDone {
		t.Errorf("told to end: code %d", code)
	}
}

// TestDevSaysHowToSignIn starts twice: the accounts of the seed are named both times,
// and without those that have no password, or are nobody's of the seed.
func TestDevSaysHowToSignIn(t *testing.T) {
	p := newPlace(t, small)
	p.write("seed/users.jsonl", `{"email":"ana@example.com","password":"harbour-1","name":"Ana"}
{"email":"bo@example.com","name":"Bo"}
{"email":"cleo@example.com","password":"harbour-1","name":"Cleo"}
`)
	for range 2 {
		s := p.start("dev")
		s.wait("asyncapi.json")
		s.wait("gRPC     127.0.0.1:")
		got := s.wait("Sign in")
		if want := `  Sign in  ana@example.com, cleo@example.com (password: "harbour-1")`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		s.wait("ready in")
		if code := s.stop(); code != exitDone {
			t.Fatalf("told to end: code %d", code)
		}
	}
}

func TestDevWaitsForAFirstSaveThatIsRight(t *testing.T) {
	p := newPlace(t, strings.Replace(small, "record.stock > 0", "record.stok > 0", 1))
	s := p.launch("dev")
	s.wait("did you mean stock")
	s.wait("waiting for a save that mends it")
	p.write("galley.yaml", small)
	s.listens()
	s.wait("ready in")
	if code, _ := s.get("/api/products"); code != http.StatusOK {
		t.Errorf("products: %d", code)
	}
	// Folders that come later are watched too. A file that came with them, or before they
	// were watched, is told under their name; one that is saved later under its own.
	for n := range 10 {
		p.write("actions/lib/price.ts", fmt.Sprintf("export const price = %d;\n", n))
		if line := s.wait("changed · reloaded"); strings.Contains(line, "actions/lib/price.ts") && n > 0 {
			return
		}
	}
	t.Error("a file in a folder that came later is not told under its name")
}

func TestCommandsAskTheServerThatRuns(t *testing.T) {
	p := newPlace(t, small)
	s := p.start("serve")
	p.want(exitDone, "galley why", "set", "products", "code=a", "price=5", "stock=1")
	if _, text := s.get("/api/products"); !strings.Contains(text, `"code":"a"`) {
		t.Errorf("the server does not have it: %s", text)
	}
	if got := p.with(t.Context(), `{"code":"b","price":5}`, "import", "products", "-"); got.code != 0 {
		t.Error(got.err)
	}
	p.want(exitDone, `"code":"b"`, "export", "products")
	p.want(exitFailed, "Did you mean products?", "export", "prodcts")
	p.want(exitDone, "fits", "migrate", "plan")
	p.want(exitFailed, "has this data folder open", "serve", "--listen", "127.0.0.1:0")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other := newPlace(t, small)
	other.want(exitFailed, "choose another address", "serve", "--listen", l.Addr().String())
}

// TestNothingIsPaintedThatIsNoTerminal holds output free of colours where it is read
// by programs.
func TestNothingIsPaintedThatIsNoTerminal(t *testing.T) {
	p := newPlace(t, strings.Replace(small, "record.stock > 0", "record.stok > 0", 1))
	if got := p.galley("check"); strings.Contains(got.out+got.err, "\x1b") {
		t.Errorf("colours: %q", got.err)
	}
	var b bytes.Buffer
	if isTerminal(&b) {
		t.Error("a buffer is a terminal")
	}
}

func (s *serving) signIn(email, password string) int {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.Post(s.address+"/api/auth/sign-in", "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close() // only the status counts
	return res.StatusCode
}
