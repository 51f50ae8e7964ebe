// Command live measures what it costs to keep queries true: changes are made over HTTP,
// and so many subscribers follow them. Beside Galley, which commits and flushes each
// change and judges it by the app's rules, it measures the engine of Centrifugo, which
// keeps nothing, and PocketBase.
//
//	go run ./bench/live
//	go run ./bench/live -on postgres -targets galley
//
// What is measured: deliveries a second to 1,000 subscribers of one query, with few
// changes under way; the time from the sending of a change to its arrival at 100 changes
// a second; the server's processor time for a change beside 10 and beside 10,000 other
// subscriptions; the memory of an idle connection.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/bench/cluster"
	"github.com/galleybackend/galley/bench/load"
	"github.com/galleybackend/galley/bench/process"
)

// everyone is the topic that all follow.
const everyone = "all"

// bench is one run of the benchmark.
type bench struct {
	dir     string
	galley  string
	cluster *cluster.Cluster

	subscribers, idle int
	time              time.Duration
	on                string
	names             string
}

func main() {
	var b bench
	flag.StringVar(&b.galley, "galley", "", "the galley binary to measure; built when not given")
	flag.StringVar(&b.on, "on", "sqlite", "Galley's database: sqlite or postgres")
	flag.StringVar(&b.names, "targets", "galley,centrifuge,pocketbase", "targets, with commas")
	flag.IntVar(&b.subscribers, "subscribers", 1000, "how many follow one query")
	flag.IntVar(&b.idle, "idle", 5000, "how many idle connections are opened")
	flag.DurationVar(&b.time, "time", 5*time.Second, "how long each is measured")
	dir := flag.String("dir", "", "where the data goes; its disk is part of the result")
	flag.Parse()
	if err := b.run(context.Background(), *dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench/live:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, parent string) (err error) {
	if b.dir, err = os.MkdirTemp(parent, "galley-live-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.galley == "" {
		b.galley = filepath.Join(b.dir, "galley")
		if _, err := process.Run(ctx, "go", "build", "-o", b.galley, "./cmd/galley"); err != nil {
			return err
		}
	}
	defer func() {
		if b.cluster != nil {
			_ = b.cluster.Stop() // its folder goes with it
		}
	}()
	var all []*result
	for name := range strings.SplitSeq(b.names, ",") {
		t := map[string]*target{"galley": galley("galley", b.on), "centrifuge": centrifuge(),
			"pocketbase": pocketbase()}[name]
		if t == nil {
			return fmt.Errorf("unknown target %q: known are galley, centrifuge, pocketbase", name)
		}
		fmt.Fprintln(os.Stderr, "measuring", name)
		r, err := b.measure(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, r)
	}
	return write(os.Stdout, b, all)
}

// result is what was measured of a target.
type result struct {
	name string
	// deliveries a second, and how many changes were made meanwhile.
	deliveries float64
	// paced holds the latencies at pace changes a second.
	paced load.Histogram
	// few and many are the processor time of a change beside few and many subscriptions.
	few, many time.Duration
	// connection is the memory of an idle connection, in bytes.
	connection float64
}

func (b *bench) measure(ctx context.Context, t *target) (r *result, err error) {
	dir, err := os.MkdirTemp(b.dir, t.name+"-")
	if err != nil {
		return nil, err
	}
	cmd, err := t.prepare(ctx, b, dir)
	if err != nil {
		return nil, err
	}
	t.server, err = process.Start(ctx, cmd, filepath.Join(dir, "log"), func(addr string) []byte {
		return []byte("GET " + t.ready + " HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if end := t.server.Stop(); err == nil {
			err = end
		}
	}()
	r = &result{name: t.name}
	if err := b.idleConnections(ctx, t, r); err != nil {
		return nil, fmt.Errorf("idle connections: %w", err)
	}
	if err := b.fanOut(ctx, t, r); err != nil {
		return nil, fmt.Errorf("fan out: %w", err)
	}
	if !t.acks {
		return r, nil
	}
	for n, took := range map[int]*time.Duration{fewFilters: &r.few, manyFilters: &r.many} {
		if *took, err = b.filters(ctx, t, n); err != nil {
			return nil, fmt.Errorf("%d filters: %w", n, err)
		}
	}
	return r, nil
}

// idleConnections opens connections that follow one topic on which nothing happens, and
// looks at how much the server's memory has grown.
func (b *bench) idleConnections(ctx context.Context, t *target, r *result) error {
	before, _ := t.server.Memory()
	streams, err := subscribe(ctx, t, b.idle, "nothing")
	defer closeAll(streams)
	if err != nil {
		return err
	}
	after, _ := t.server.Memory()
	r.connection = (after - before) * 1e6 / float64(b.idle)
	return nil
}

// subscribe opens so many streams on a topic, some at a time.
func subscribe(ctx context.Context, t *target, n int, topic string) ([]*stream, error) {
	streams := make([]*stream, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				s, err := t.subscribe(ctx, t, topic)
				if err != nil {
					err = fmt.Errorf("stream %d: %w", i+1, err)
					failed.CompareAndSwap(nil, &err)
					return
				}
				streams[i] = s
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		return streams, *err
	}
	return streams, nil
}

func closeAll(streams []*stream) {
	for _, s := range streams {
		if s != nil {
			_ = s.conn.Close() // nothing is asked of it any more
		}
	}
}

const (
	// writers make changes at once; underWay is how many changes may not have reached
	// everybody yet.
	writers  = 8
	underWay = 16
	// pace is the changes a second at which latencies are measured.
	pace = 100
	// warm is the time before anything counts.
	warm = time.Second
)

// fanOut measures what reaches all subscribers of one topic: first as fast as it goes,
// then at a fixed pace.
func (b *bench) fanOut(ctx context.Context, t *target, r *result) error {
	streams, err := subscribe(ctx, t, b.subscribers, everyone)
	defer closeAll(streams)
	if err != nil {
		return err
	}
	var c counts
	var reading sync.WaitGroup
	for _, s := range streams {
		reading.Go(func() { s.read(t, &c) })
	}
	var sent atomic.Int64
	behind := func() bool {
		return sent.Load()*int64(len(streams))-c.arrived.Load() > underWay*int64(len(streams))
	}
	if err := makeChanges(ctx, t, writers, time.Now().Add(warm), everyone, &sent, behind, 0); err != nil {
		return err
	}
	from, begin := c.arrived.Load(), time.Now()
	if err := makeChanges(ctx, t, writers, begin.Add(b.time), everyone, &sent, behind, 0); err != nil {
		return err
	}
	r.deliveries = float64(c.arrived.Load()-from) / time.Since(begin).Seconds()
	if err := settle(&c, sent.Load()*int64(len(streams))); err != nil {
		return err
	}
	c.since.Store(time.Now().UnixMicro())
	if err := makeChanges(ctx, t, 1, time.Now().Add(b.time), everyone, &sent, behind, time.Second/pace); err != nil {
		return err
	}
	if err := settle(&c, sent.Load()*int64(len(streams))); err != nil {
		return err
	}
	closeAll(streams)
	reading.Wait()
	for _, s := range streams {
		r.paced.Add(&s.took)
	}
	return nil
}

// settleTime is how long the last change may take to arrive.
const settleTime = 10 * time.Second

// settle waits until all has arrived: what is lost is an error.
func settle(c *counts, want int64) error {
	for end := time.Now().Add(settleTime); c.arrived.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d deliveries arrived", c.arrived.Load(), want)
		}
	}
	if got := c.arrived.Load(); got > want {
		return fmt.Errorf("%d deliveries arrived of %d changes' worth", got, want)
	}
	return nil
}

// makeChanges makes changes of a topic until the end, each when not too many are under way and,
// at a pace, not before its time.
func makeChanges(ctx context.Context, t *target, conns int, end time.Time, topic string,
	sent *atomic.Int64, behind func() bool, every time.Duration,
) error {
	errs := make([]error, conns)
	var wait sync.WaitGroup
	for i := range conns {
		wait.Go(func() {
			conn, err := load.Dial(ctx, t.server.Addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer conn.Close()
			for next := time.Now(); time.Now().Before(end); next = next.Add(every) {
				time.Sleep(time.Until(next))
				for since := time.Now(); behind(); time.Sleep(100 * time.Microsecond) {
					if time.Since(since) > settleTime {
						errs[i] = fmt.Errorf("after %d changes deliveries stand still", sent.Load())
						return
					}
				}
				path, body := t.publish(topic, time.Now().UnixMicro())
				sent.Add(1)
				status, answer, err := conn.Exchange(request(t.server.Addr, path, body))
				if err == nil && status != t.status {
					err = fmt.Errorf("status %d in place of %d: %.300s", status, t.status, answer)
				}
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// request is a POST under a key of its own.
func request(addr, path, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
		"Idempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s", path, addr, rand.Text(), len(body), body)
}

func post(ctx context.Context, addr, path, body string) (int, []byte, error) {
	return load.Once(ctx, addr, request(addr, path, body))
}

const (
	fewFilters, manyFilters = 10, 10_000
	// filtersEach is how many subscriptions one connection has.
	filtersEach = 200
	// filterChanges is how many changes are made to see what one costs.
	filterChanges = 2000
)

// filters returns the processor time of a change that concerns one of n subscriptions
// with different filters.
func (b *bench) filters(ctx context.Context, t *target, n int) (time.Duration, error) {
	var streams []*stream
	defer func() { closeAll(streams) }()
	var c counts
	var reading sync.WaitGroup
	for at := 0; at < n; at += filtersEach {
		s, err := t.subscribe(ctx, t, fmt.Sprintf("t%d", at))
		if err != nil {
			return 0, err
		}
		streams = append(streams, s)
		for i := 1; i < min(filtersEach, n-at); i++ {
			if err := follow(s, i+1, fmt.Sprintf("t%d", at+i)); err != nil {
				return 0, err
			}
		}
		reading.Go(func() { s.read(t, &c) })
	}
	begin := t.server.CPU()
	for i := range filterChanges {
		path, body := t.publish(fmt.Sprintf("t%d", i%n), time.Now().UnixMicro())
		status, answer, err := post(ctx, t.server.Addr, path, body)
		if err != nil || status != t.status {
			return 0, fmt.Errorf("status %d: %.300s, %w", status, answer, err)
		}
	}
	if err := settle(&c, filterChanges); err != nil {
		return 0, err
	}
	return (t.server.CPU() - begin) / filterChanges, nil
}
