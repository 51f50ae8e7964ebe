package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/galleybackend/galley/bench/load"
	"github.com/galleybackend/galley/bench/process"
)

const (
	// pollTime is how often a terminal looks for a server that is away.
	pollTime = 20 * time.Millisecond
	// awayTime is how long it looks before it gives up.
	awayTime = 60 * time.Second
)

// app is a Galley with the app of this folder.
type app struct {
	path  string   // of the command
	where []string // which app and which database
	log   string
}

// fill makes the tables and imports the rows.
func (a *app) fill(ctx context.Context, f *files) error {
	if err := a.run(ctx, "migrate", "apply"); err != nil {
		return err
	}
	for _, o := range f.open {
		begin := time.Now()
		if err := a.run(ctx, "import", o.collection, o.path); err != nil {
			return err
		}
		fmt.Printf("  imported %s in %v\n", o.collection, time.Since(begin).Round(time.Second))
	}
	return nil
}

func (a *app) run(ctx context.Context, args ...string) error {
	_, err := process.Run(ctx, a.path, append(args, a.where...)...)
	return err
}

// users writes the terminals' users among the files.
func (f *files) users(count int) error {
	for n := range count {
		err := f.put("users", fields{"email": address0(n), "name": fmt.Sprint("Terminal ", n),
			"password": password})
		if err != nil {
			return err
		}
	}
	return nil
}

const password = "a long pass phrase for the terminals"

func address0(n int) string { return fmt.Sprintf("terminal%03d@example.com", n) }

// galley is a running Galley under load. It may be killed and started again.
type galley struct {
	app app

	mu     sync.Mutex
	server *process.Server
	tokens []string
	runs   int
	life   context.Context // of the process
}

// serve starts the server.
func serve(ctx context.Context, a app) (*galley, error) {
	g := &galley{app: a, life: ctx}
	return g, g.start()
}

func (g *galley) start() error {
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--limits", "off"},
		g.app.where...)
	cmd := exec.CommandContext(g.life, g.app.path, args...)
	s, err := process.Start(g.life, cmd, g.app.log, func(addr string) []byte {
		return request(nil, "GET", addr, "", "", "/api/health", nil)
	})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.server = s
	return nil
}

// crash kills the server and starts it again.
func (g *galley) crash() error { return errors.Join(g.current().Kill(), g.start()) }

func (g *galley) current() *process.Server {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.server
}

func (g *galley) close() error { return g.current().Stop() }

// signIn gets a token for each terminal.
func (g *galley) signIn(ctx context.Context, terminals int) error {
	for n := range terminals {
		in, err := json.Marshal(fields{"email": address0(n), "password": password, "token": true})
		if err != nil {
			return err
		}
		addr := g.current().Addr
		status, body, err := load.Once(ctx, addr,
			request(nil, "POST", addr, "", "", "/api/auth/sign-in", in))
		if err != nil {
			return err
		}
		var out struct{ Token string }
		if err := json.Unmarshal(body, &out); err != nil || status != 200 {
			return fmt.Errorf("sign in: status %d: %.300s", status, body)
		}
		g.tokens = append(g.tokens, out.Token)
	}
	return nil
}

// request writes one in HTTP/1.1.
func request(b []byte, method, host, token, key, path string, body []byte) []byte {
	b = append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	if token != "" {
		b = append(append(b, "\r\nAuthorization: Bearer "...), token...)
	}
	if key != "" {
		b = append(append(b, "\r\nIdempotency-Key: "...), key...)
	}
	if body != nil {
		b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
	}
	return append(append(b, "\r\n\r\n"...), body...)
}

// open is the connection of the n-th terminal.
func (g *galley) open(ctx context.Context, n int) (session, error) {
	g.mu.Lock()
	g.runs++
	prefix := fmt.Sprintf("tpcc-%d-%d-", g.runs, n)
	g.mu.Unlock()
	s := &galleySession{galley: g, token: g.tokens[n], prefix: prefix}
	return s, s.dial(ctx)
}

// galleySession sends calls and, when their answer is lost, sends them again under the
// same key until there is one: the effect is there once, whatever happened.
type galleySession struct {
	galley *galley
	token  string
	prefix string
	calls  int
	addr   string
	conn   *load.Conn
	buf    []byte
}

// dial connects to the server that runs, and waits for one that is away.
func (s *galleySession) dial(ctx context.Context) error {
	for end := time.Now().Add(awayTime); ; {
		addr := s.galley.current().Addr
		conn, err := load.Dial(ctx, addr)
		if err == nil {
			s.conn, s.addr = conn, addr
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("no server for %v: %w", awayTime, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollTime):
		}
	}
}

func (s *galleySession) close() error {
	s.conn.Close()
	return nil
}

func (s *galleySession) do(ctx context.Context, c *call) (answer, error) {
	s.calls++
	key, end := s.prefix+strconv.Itoa(s.calls), time.Now().Add(awayTime)
	for {
		status, body, err := s.conn.Exchange(s.request(c, key))
		if err == nil && status != 503 && status != 409 {
			return read(c, status, body)
		}
		if err == nil {
			err = fmt.Errorf("status %d: %.300s", status, body)
		}
		if time.Now().After(end) {
			return answer{}, fmt.Errorf("no answer for %v: %w", awayTime, err)
		}
		// The server went away, or says that it cannot now.
		s.conn.Close()
		select {
		case <-ctx.Done():
			return answer{}, ctx.Err()
		case <-time.After(pollTime):
		}
		if err := s.dial(ctx); err != nil {
			return answer{}, err
		}
	}
}

func (s *galleySession) request(c *call, key string) []byte {
	path := "/api/actions/" + c.verb.String()
	if c.verb == orderStatus || c.verb == stockLevel {
		s.buf = request(s.buf[:0], "GET", s.addr, s.token, "", path+"?"+params(c), nil)
	} else {
		s.buf = request(s.buf[:0], "POST", s.addr, s.token, key, path, body(c))
	}
	return s.buf
}

// params is the input of what only reads.
func params(c *call) string {
	q := url.Values{}
	switch {
	case c.verb == stockLevel:
		q.Set("district", districtID(c.district))
		q.Set("threshold", strconv.Itoa(c.threshold))
	case c.customer > 0:
		q.Set("customer", customerID(c.district, c.customer))
	default:
		q.Set("home", districtID(c.district))
		q.Set("last", c.last)
	}
	return q.Encode()
}

// body is the input of what writes, written by hand: none of it needs an escape.
func body(c *call) []byte {
	b := make([]byte, 0, 1024)
	switch c.verb {
	case newOrder:
		b = fmt.Appendf(b, `{"district":%q,"customer":%q,"lines":[`, districtID(c.district),
			customerID(c.district, c.customer))
		for i, l := range c.lines {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"stock":%q,"quantity":%d}`, stockID(l.item), l.quantity)
		}
		b = append(b, "]}"...)
	case payment:
		b = fmt.Appendf(b, `{"district":%q,"amount":%d,`, districtID(c.district), c.amount)
		if c.customer > 0 {
			b = fmt.Appendf(b, `"customer":%q}`, customerID(c.district, c.customer))
		} else {
			b = fmt.Appendf(b, `"home":%q,"last":%q}`, districtID(c.district), c.last)
		}
	case delivery:
		b = fmt.Appendf(b, `{"warehouse":%q,"carrier":%d}`, warehouseID(), c.carrier)
	}
	return b
}

// read judges an answer.
func read(c *call, status int, body []byte) (answer, error) {
	if c.void && status == 404 {
		return answer{refused: true}, nil
	}
	if status != 200 || c.void {
		return answer{}, fmt.Errorf("%s: status %d: %.500s", c.verb, status, body)
	}
	if c.verb != delivery {
		return answer{}, nil
	}
	var out struct{ Delivered int }
	err := json.Unmarshal(body, &out)
	return answer{delivered: out.Delivered}, err
}

// copyDir copies the files of a folder that no server has open.
func copyDir(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}
