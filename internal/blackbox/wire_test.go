package blackbox_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/serve/servetest"
	"github.com/galleybackend/galley/internal/transport/rest"
)

// statuses sends bytes over one connection and returns the statuses that come back
// until the server closes it. The last request asks it to.
func statuses(base, sent string) ([]int, error) {
	c, err := dial(base)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, sent); err != nil {
		return nil, nil // it was closed before all was sent: refused
	}
	var out []int
	for r := bufio.NewReader(c); ; {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return out, nil
		}
		out = append(out, res.StatusCode)
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return out, nil
		}
	}
}

// smuggled is the request that must not be seen as one of its own.
const smuggled = "GET /api/smuggled-canary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// smuggling sends requests whose end can be read in two ways. After such a request
// nothing on the connection may be answered but its refusal.
func smuggling(a *arena) (f found) {
	body := `{"email":"a@b.example","password":"x"}`
	post := func(headers, rest string) string {
		return "POST /api/auth/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
			headers + "\r\n" + rest
	}
	for name, sent := range map[string]string{
		"two lengths": post("Content-Length: 5\r\nContent-Length: 38\r\n",
			body+smuggled),
		"a list of lengths": post("Content-Length: 38, 5\r\n", body+smuggled),
		"length and chunked": post("Content-Length: 38\r\nTransfer-Encoding: chunked\r\n",
			"0\r\n\r\n"+smuggled),
		"chunked and length": post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
			"0\r\n\r\n"+smuggled),
		"space before the colon": post("Content-Length : 38\r\n", body+smuggled),
		"chunked with a space":   post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+smuggled),
		"odd coding":             post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+smuggled),
		"two codings": post("Transfer-Encoding: identity, chunked\r\n",
			"0\r\n\r\n"+smuggled),
		"coding twice": post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
			"0\r\n\r\n"+smuggled),
		"length with a plus": post("Content-Length: +38\r\n", body+smuggled),
		"length below zero":  post("Content-Length: -1\r\n", body+smuggled),
		"length in hex":      post("Content-Length: 0x26\r\n", body+smuggled),
		"folded header":      post("Content-Length:\r\n 38\r\n", body+smuggled),
		"folded coding": post("X: y\r\n Transfer-Encoding: chunked\r\n",
			"0\r\n\r\n"+smuggled),
		"odd chunk size": post("Transfer-Encoding: chunked\r\n",
			"0x26\r\n"+body+"\r\n0\r\n\r\n"+smuggled),
		"chunk size with a plus": post("Transfer-Encoding: chunked\r\n",
			"+26\r\n"+body+"\r\n0\r\n\r\n"+smuggled),
		"chunk below zero": post("Transfer-Encoding: chunked\r\n",
			"-1\r\n"+body+"\r\n0\r\n\r\n"+smuggled),
		"huge chunk": post("Transfer-Encoding: chunked\r\n",
			"fffffffffffffffff\r\n"+body+smuggled),
		"chunk without its end": post("Transfer-Encoding: chunked\r\n",
			"26\r\n"+body+"XX0\r\n\r\n"+smuggled),
		"a NUL in a header": post("X: a\x00b\r\nContent-Length: 38\r\n", body+smuggled),
		"a CR in a header": post("X: a\rContent-Length: 5\r\nContent-Length: 38\r\n",
			body+smuggled),
		"a header without a name": post(": x\r\nContent-Length: 38\r\n", body+smuggled),
		"no host":                 "GET /api/health HTTP/1.1\r\n\r\n" + smuggled,
		"two hosts": "GET /api/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" +
			smuggled,
		"a bad host":          "GET /api/health HTTP/1.1\r\nHost: a b\r\n\r\n" + smuggled,
		"a space in the path": "GET /api/hea lth HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
		"an odd version":      "GET /api/health HTTP/1.2x\r\nHost: x\r\n\r\n" + smuggled,
		"HTTP/2 in clear":     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled,
		"an address in front": "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" +
			"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
		"body on a get": "GET /api/products HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /" + smuggled,
	} {
		got, err := statuses(a.base, sent)
		if err != nil {
			f.add("%s: %v", name, err)
			continue
		}
		for i, status := range got {
			// A body on a get is framed well, and so is a folded header, of which HTTP
			// says what it means: what follows is a request of its own.
			framed := name == "body on a get" || name == "folded header"
			if status == 404 && i > 0 && !framed || status < 400 || status >= 500 &&
				status != 501 && status != 505 {
				f.add("%s: %v", name, got)
				break
			}
		}
	}
	got, err := statuses(a.base, post("Content-Length: 38\r\n", body)+
		post("Transfer-Encoding: chunked\r\n", "26\r\n"+body+"\r\n0\r\n\r\n")+smuggled)
	if err != nil || fmt.Sprint(got) != "[401 401]" {
		a.t.Fatalf("the control is %v, %v", got, err)
	}
	return f
}

func TestRequestsCannotBeSmuggled(t *testing.T) {
	a := open(t, flaw{}, false)
	if got := smuggling(a); len(got) > 0 {
		t.Errorf("it got through:\n%s", strings.Join(got, "\n"))
	}
	// The flaw: somebody in front who mends what he does not understand.
	a.base = forgiving(t, a.base)
	if got := smuggling(a); len(got) == 0 {
		t.Error("the planted flaw is not found")
	}
}

// forgiving passes connections on and mends the spelling of their headers.
func forgiving(t *testing.T, base string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go mend(c, base)
		}
	}()
	return "http://" + l.Addr().String()
}

func mend(c net.Conn, base string) {
	defer func() { _ = c.Close() }()
	up, err := dial(base)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			text := strings.NewReplacer("Content-Length : ", "Content-Length: ",
				"Content-Length: 5\r\n", "",
				"Host: b\r\n", "").Replace(string(b[:n]))
			if _, err := io.WriteString(up, text); err != nil {
				return
			}
		}
	}()
	_, _ = io.Copy(c, up)
}

// floods sends heads that are too much; each must be refused, and memory stay.
func floods(a *arena) (f found) {
	a.nobody.do("GET", "/api/health", "").want(a.t, 200)
	for name, headers := range map[string]string{
		"many headers": strings.Repeat("X-Header: some value that is not short at all\r\n", 2000),
		"one long":     "X-Header: " + strings.Repeat("x", 100_000) + "\r\n",
		"long name":    strings.Repeat("X", 100_000) + ": x\r\n",
		"many cookies": "Cookie: " + strings.Repeat("a=b; ", 20_000) + "\r\n",
	} {
		got, err := statuses(a.base,
			"GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+headers+"\r\n")
		if err != nil || len(got) > 0 && got[0] != http.StatusRequestHeaderFieldsTooLarge {
			f.add("%s: %v, %v", name, got, err)
		}
	}
	long := strings.Repeat("a", 100_000)
	if got, err := statuses(a.base,
		"GET /api/"+long+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil ||
		len(got) > 0 && got[0] < 400 || len(got) > 0 && got[0] == 404 {
		f.add("a long path: %v, %v", got, err)
	}
	return f
}

func TestHeadersAreBounded(t *testing.T) {
	if got := floods(open(t, flaw{}, false)); len(got) > 0 {
		t.Errorf("it got through:\n%s", strings.Join(got, "\n"))
	}
	if got := floods(open(t, flaw{server: func(s *http.Server) { s.MaxHeaderBytes = 1 << 20 }},
		false)); len(got) == 0 {
		t.Error("a server without a bound is not found")
	}
}

// slowly begins requests and never ends them. The server must hang up by itself before
// patience is at its end.
func slowly(a *arena, patience time.Duration) (f found) {
	a.nobody.do("GET", "/api/health", "").want(a.t, 200)
	for name, sent := range map[string]string{
		"a head without its end": "GET /api/health HTTP/1.1\r\nHost: x\r\nX: ",
		"a body without its end": "POST /api/auth/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{",
		"a chunk that is waited": "POST /api/auth/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		c, err := dial(a.base)
		if err != nil {
			a.t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			a.t.Fatal(err)
		}
		if _, err := io.WriteString(c, sent); err != nil {
			a.t.Fatal(err)
		}
		text, err := io.ReadAll(c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			f.add("%s: the server waits", name)
			return f
		}
		if bytes.HasPrefix(text, []byte("HTTP/1.1 2")) || bytes.HasPrefix(text,
			[]byte("HTTP/1.1 5")) {
			f.add("%s: %.60q", name, text)
		}
		_ = c.Close()
	}
	return f
}

func TestSlowRequestsAreHungUpOn(t *testing.T) {
	s := rest.Server(nil)
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 {
		t.Errorf("a bound of time is missing: %+v", s)
	}
	quick := func(s *http.Server) {
		s.ReadHeaderTimeout, s.ReadTimeout = s.ReadHeaderTimeout/20,
			s.ReadTimeout/60
	}
	a := open(t, flaw{}, false)
	hurried := func(change func(*http.Server), patience time.Duration) found {
		a.front.Close()
		a.listen(a.door, flaw{server: change})
		a.nobody.base = a.base
		return slowly(a, patience)
	}
	if got := hurried(quick, time.Minute); len(got) > 0 {
		t.Errorf("it got through:\n%s", strings.Join(got, "\n"))
	}
	never := func(s *http.Server) { s.ReadHeaderTimeout, s.ReadTimeout = 0, 0 }
	if got := hurried(never, time.Second); len(got) == 0 {
		t.Error("a server that waits for ever is not found")
	}
}

// large sends bodies over the bound, with and without their length.
func large(a *arena) (f found) {
	a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(a.t, 201)
	huge := `{"title":"` + strings.Repeat("x", 3<<20) + `"}`
	for name, body := range map[string]io.Reader{"a body": strings.NewReader(huge),
		"chunks": io.MultiReader(strings.NewReader(huge))} {
		r, err := http.NewRequest("POST", a.base+"/api/notes", body)
		if err != nil {
			a.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+a.ana.token)
		r.Header.Set("Idempotency-Key", "k")
		res, err := servetest.Client.Do(r)
		if err != nil {
			continue // it hung up while we sent
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			f.add("%s is %d", name, res.StatusCode)
		}
	}
	return f
}

func TestBodiesAreBounded(t *testing.T) {
	if got := large(open(t, flaw{}, false)); len(got) > 0 {
		t.Errorf("it got through:\n%s", strings.Join(got, "\n"))
	}
	cuts := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && (r.ContentLength > 1<<20 || r.ContentLength < 0) {
				r = withBody(r, `{"title":"cut"}`)
			}
			next.ServeHTTP(w, r)
		})
	}
	if got := large(open(t, flaw{front: cuts}, false)); len(got) == 0 {
		t.Error("a server that cuts bodies is not found")
	}
}
