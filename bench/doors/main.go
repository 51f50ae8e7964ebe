// Command doors measures what the same costs by different protocols of one Galley: gets of
// one record by HTTP/1.1 and JSON, by gRPC, and by Connect, in turns, over sixteen
// connections each, on which one call is under way at a time.
//
//	go run ./bench/doors
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/galleybackend/galley/bench/load"
	"github.com/galleybackend/galley/bench/process"
)

// connections is how many there are of each door.
const connections = 16

// door is a way to ask, and what was measured of it.
type door struct {
	name  string
	dial  func() (wire, error)
	wires [connections]wire

	calls int
	took  time.Duration
	// used is the server's processor time.
	used time.Duration
}

func main() {
	galley := flag.String("galley", "", "the galley binary to measure; built when not given")
	rounds := flag.Int("rounds", 10, "how often each door has its turn")
	turn := flag.Duration("turn", 500*time.Millisecond, "how long a turn is")
	flag.Parse()
	if err := run(context.Background(), *galley, *rounds, *turn); err != nil {
		fmt.Fprintln(os.Stderr, "bench/doors:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, galley string, rounds int, turn time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "galley-doors-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if galley == "" {
		galley = filepath.Join(dir, "galley")
		if _, err := process.Run(ctx, "go", "build", "-o", galley, "./cmd/galley"); err != nil {
			return err
		}
	}
	server, err := process.Start(ctx, exec.Command(galley, "serve", "--app", "bench/live/app", "--data",
		filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--limits", "off"),
		filepath.Join(dir, "log"), func(addr string) []byte {
			return []byte("GET /api/health HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
		})
	if err != nil {
		return err
	}
	defer func() {
		if end := server.Stop(); err == nil {
			err = end
		}
	}()
	doors, err := open(ctx, server.Addr)
	if err != nil {
		return err
	}
	// The first turn of each is not counted.
	for i := range rounds + 1 {
		for _, d := range doors {
			if err := d.turn(server, turn, i > 0); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
		}
	}
	report(doors)
	return nil
}

// open makes a record, and the doors by which it is asked for.
func open(ctx context.Context, addr string) ([]*door, error) {
	id, err := record(ctx, addr)
	if err != nil {
		return nil, err
	}
	const path = "/ticks.v1.Ticks/Get"
	message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
	one := func(request string) func() (wire, error) {
		return func() (wire, error) {
			c, err := load.Dial(ctx, addr)
			return &http1{c, []byte(request)}, err
		}
	}
	doors := []*door{
		{name: "HTTP/1.1", dial: one("GET /api/ticks/" + id + " HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")},
		{name: "gRPC", dial: func() (wire, error) {
			head := append([]byte{0x83, 0x86}, literal(nil, ":path", path)...) // POST, http
			head = literal(head, ":authority", addr)
			head = literal(head, "content-type", "application/grpc")
			head = literal(head, "te", "trailers")
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return nil, err
			}
			w := &http2{Conn: c, in: bufio.NewReader(c), head: head,
				body: append([]byte{0, 0, 0, 0, byte(len(message))}, message...)}
			return w, w.begin()
		}},
		{name: "Connect", dial: one("POST " + path + " HTTP/1.1\r\nHost: " + addr +
			"\r\nContent-Type: application/proto\r\nContent-Length: " + strconv.Itoa(len(message)) +
			"\r\n\r\n" + string(message))},
	}
	for _, d := range doors {
		for i := range d.wires {
			if d.wires[i], err = d.dial(); err != nil {
				return nil, err
			}
		}
	}
	return doors, nil
}

// record makes the record that is asked for, and returns its id.
func record(ctx context.Context, addr string) (string, error) {
	body := `{"topic":"doors","sent":1,"text":"What is asked for by every door, again and again."}`
	status, answer, err := load.Once(ctx, addr, fmt.Appendf(nil, "POST /api/ticks HTTP/1.1\r\nHost: %s\r\n"+
		"Content-Type: application/json\r\nIdempotency-Key: doors\r\nContent-Length: %d\r\n\r\n%s", addr,
		len(body), body))
	if err != nil {
		return "", err
	}
	var made struct{ ID string }
	if err := json.Unmarshal(answer, &made); err != nil || made.ID == "" {
		return "", fmt.Errorf("the record is answered with %d: %.300s", status, answer)
	}
	return made.ID, nil
}

// turn asks by all connections of the door for a while.
func (d *door) turn(server *process.Server, long time.Duration, counts bool) error {
	var calls [connections]int
	var errs [connections]error
	used, start := server.CPU(), time.Now()
	var all sync.WaitGroup
	for i, w := range d.wires {
		all.Go(func() {
			for time.Since(start) < long && errs[i] == nil {
				errs[i] = w.ask()
				calls[i]++
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return err
		}
		if counts {
			d.calls += calls[i]
		}
	}
	if counts {
		d.took += time.Since(start)
		d.used += server.CPU() - used
	}
	return nil
}

// goal is how many calls of gRPC are to be answered while one of HTTP/1.1 is.
const goal = 0.5

func report(doors []*door) {
	first := doors[0]
	rate := func(d *door) float64 { return float64(d.calls) / d.took.Seconds() }
	each := func(d *door) float64 { return float64(d.used.Microseconds()) / float64(d.calls) }
	for _, d := range doors {
		fmt.Printf("%-10s%8.0f gets/s  %6.1f µs of the server's processor  %.2f of HTTP/1.1, %.2f by processor\n",
			d.name, rate(d), each(d), rate(d)/rate(first), each(first)/each(d))
	}
	reached := "not reached"
	if rate(doors[1])/rate(first) >= goal {
		reached = "reached"
	}
	fmt.Printf("\n  %s  a get by gRPC ≥ %.1f of one by HTTP/1.1: %.2f\n", reached, goal, rate(doors[1])/rate(first))
}
