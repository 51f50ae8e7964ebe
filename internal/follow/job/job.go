// Package job runs durable work after the commit: it follows the intents of jobs, keeps
// each job as a record, and runs its code from the top until it has ended. What a step
// of the code returned is kept, so that a job that runs again does not run the step
// again: not after a crash, a deploy, a sleep of days or a failure.
//
// A job begins as soon as its entry is read, and is written down together with the
// place of the follower: as what it has become by then. Its first step, or its end,
// writes it if that comes before. A job for which this node has no room is written as
// waiting, and whichever node has room takes it. A job that runs belongs to its node for
// as long as the node lives; each of its commits asks for that.
//
// What jobs may do and how they read their input is the app's; how their code is run,
// the languages'; what a transaction means, the engine's.
package job

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Bounds of jobs. Each is named by the error that it causes.
const (
	// StepsMax is how many steps one job may have.
	StepsMax = 1000
	// ResultMax is the greatest size of what a step or a job returns, in bytes of JSON.
	ResultMax = 1 << 20
	// StepTime is how long an attempt of a step may take, if the job says nothing else.
	StepTime = time.Minute
	// WaitTime is how long a wait lasts, if the code says nothing else.
	WaitTime = 30 * 24 * time.Hour
	// Memory is how many bytes a job's code may hold, for languages that can be measured.
	Memory = 128 << 20
	// workersMin is the least number of jobs that run together at a node.
	workersMin = 64
	// causeMax is the greatest size of what is kept of why an attempt failed, in bytes.
	causeMax = 4 << 10
	// RetryMax is the greatest wait between two attempts.
	RetryMax = time.Hour
	// Keep is how long a job that ended is known, KeepFailed one that failed.
	Keep       = 14 * 24 * time.Hour
	KeepFailed = 90 * 24 * time.Hour
)

// Job is what is known of a job of the app in force.
type Job struct {
	*spec.Job
	// Input is the shape of the input, nil for none; Of is the collection whose record
	// it is, where it is one.
	Input *value.Shape
	Of    string
	// Run runs the job's code.
	Run func(ctx context.Context, call action.Run, steps action.Steps) (value.Value, error)
	// Once yields the value by which a job is one, nil if all are.
	Once func(ctx context.Context, input value.Record) (value.Value, error)
}

// Config is what Jobs are made of.
type Config struct {
	Store store.Store
	// Follow runs the follower, and knows the nodes.
	Follow *follow.Runner
	// Find returns a job of the app in force, nil if it has none of the name; Names are
	// those that this node can run.
	Find  func(name string) *Job
	Names func() []string
	// InForce returns a fault where this node's app is not the one in force any more; nil
	// means that it always is.
	InForce func() error
	// Transact runs a transaction of a step.
	Transact func(ctx context.Context, w engine.Work) (value.Value, error)
	// Secret returns a secret that the app file names.
	Secret func(name string) (string, error)
	// Mask hides secrets in what is kept of failures.
	Mask *observe.Mask
	// Client is what steps reach others with.
	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
	// Count counts what came of each run, by the job and its outcome; nil counts nothing.
	Count func(operation, outcome string)
	// Workers is how many jobs run together at this node, 0 for the house's number;
	// Computing how many of them compute at once, 0 for half of the processors.
	Workers   int
	Computing int
}

// Jobs runs the jobs of a node. It is safe for concurrent use.
type Jobs struct {
	cfg    Config
	shapes map[string]*value.Shape
	// slots are the leaves to compute that are taken.
	slots chan struct{}

	mu sync.Mutex
	// works are the jobs that this node has, by their ids.
	works map[ident.Record]*work
	// todo are those that wait for a worker, in the order of their coming; running
	// counts the ones that run. Workers are made when there is work; those that are idle
	// wait for more, and inside are those that compute or are about to.
	todo    []*work
	running int
	made    int
	idle    int
	inside  int
	call    *sync.Cond
	seats   map[*seat]bool
	begun   chan struct{}
	closing bool
	// ended are jobs whose end is to be written.
	ended []*work
	// took is about how long a run takes, in nanoseconds.
	took int64
	// soonest is when a job is due, as far as this node has heard.
	soonest time.Time
	// due says that jobs may be due in the database.
	due bool

	wake chan struct{}
	// batch is what the follower accepts next.
	batch batch
	doubt journal.Seq

	ctx      context.Context
	stop     context.CancelFunc
	loops    sync.WaitGroup
	workers  sync.WaitGroup
	changed  notice
	plans    sync.Map
	lastScan time.Time
	swept    time.Time
}

// work is a job at this node.
type work struct {
	id      ident.Record
	name    string
	owner   string
	input   string
	once    string
	created time.Time
	// run counts the runs, tries the attempts that failed before this one since the
	// last step that ended.
	run   int64
	tries int64
	// again counts how often somebody had steps run again.
	again int64

	// Guarded by Jobs.mu:
	state state
	// following says that the follower writes the job next, saved as what it did.
	following bool
	saved     state
	// kept says that the record is written, and that steps may be.
	kept   bool
	cancel context.CancelFunc
	// cancelled says that it shall end, lost that it is not this node's any more.
	cancelled bool
	lost      bool
	done      int64
	total     int64
	told      bool

	// Of the end of a run, before state says that it ended:
	end end
}

// state is where a job is at this node.
type state uint8

const (
	queued state = iota + 1
	running
	// waiting is a job that this node writes for whoever takes it.
	waiting
	ended
)

// end is how a run ended.
type end struct {
	// state is the record's: waiting, done, failed or cancelled.
	state   string
	due     time.Time
	result  string
	problem string
	// cause is what went wrong, for who runs the app.
	cause string
	// tries counts the attempts that failed since the last step that ended.
	tries int64
	// event is the step whose event the job waits for, "" for none: it may have come since
	// the steps were read.
	event ident.Record
	// written says that the record says so already.
	written bool
}

// New returns Jobs. It adds them to the follower; Start begins.
func New(c Config) *Jobs {
	if c.Workers == 0 {
		c.Workers = max(workersMin, 8*runtime.GOMAXPROCS(0))
	}
	if c.Computing == 0 {
		c.Computing = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.InForce == nil {
		c.InForce = func() error { return nil }
	}
	if c.Count == nil {
		c.Count = func(string, string) {}
	}
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	j := &Jobs{cfg: c, shapes: follow.Shapes(Collections()), works: map[ident.Record]*work{},
		wake: make(chan struct{}, 1), slots: make(chan struct{}, c.Computing), due: true,
		seats: map[*seat]bool{}, begun: make(chan struct{}, 1)}
	j.call = sync.NewCond(&j.mu)
	c.Follow.Add(j)
	c.Follow.OnWake(j.Wake)
	c.Follow.OnClose(j.close)
	return j
}

// Start begins to run jobs, until the follower's runner is closed.
func (j *Jobs) Start(ctx context.Context) {
	ctx, j.stop = context.WithCancel(context.WithoutCancel(ctx))
	j.ctx = ctx
	j.loops.Go(func() { j.turns(ctx) })
	j.loops.Go(func() { j.watch(ctx) })
}

// Wake has the jobs looked at that are due, or whose node is gone.
func (j *Jobs) Wake() {
	j.mu.Lock()
	j.due = true
	j.mu.Unlock()
	j.nudge()
}

// nudge has the loop go on.
func (j *Jobs) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// closeGrace is how long jobs may go on when the node stops.
const closeGrace = 5 * time.Second

// close lets the jobs that run come to an end for a while and gives the rest to others.
func (j *Jobs) close(ctx context.Context) {
	j.Lost() // what is not written, the next one begins
	j.mu.Lock()
	j.closing = true
	for _, w := range j.todo {
		w.state, w.end = ended, end{state: Waiting, due: j.cfg.Now()}
		j.ended = append(j.ended, w)
	}
	j.todo = nil
	j.call.Broadcast()
	j.mu.Unlock()
	late := time.AfterFunc(closeGrace, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, w := range j.works {
			if w.cancel != nil {
				w.cancel()
			}
		}
	})
	j.workers.Wait()
	late.Stop()
	if j.stop != nil {
		j.stop()
	}
	j.loops.Wait()
	for {
		j.mu.Lock()
		n := len(j.ended)
		j.mu.Unlock()
		if n == 0 {
			return
		}
		if err := j.turn(ctx, false); err != nil {
			j.cfg.Log.Warn("the ends of jobs could not be written; they run again", "cause", err)
			return
		}
	}
}

// notice tells those who wait that something has changed.
type notice struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns what is closed at the next change.
func (n *notice) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notice) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}

// Problem is why a job failed, as it is kept and told.
type Problem struct {
	Code   string         `json:"code"`
	Detail string         `json:"detail,omitempty"`
	Data   map[string]any `json:"data,omitempty"`
	Kind   string         `json:"kind,omitempty"`
}

// problemOf writes an error down. What is not for callers stays in the log.
func problemOf(err error) string {
	f := fault.From(err)
	p := Problem{Code: f.CodeOr(), Detail: f.Message, Kind: f.Kind.String()}
	for _, d := range f.Data {
		if p.Data == nil {
			p.Data = map[string]any{}
		}
		p.Data[d.Name] = d.Value
	}
	text, err := json.Marshal(p)
	if err != nil {
		return `{"code":"internal"}`
	}
	return string(text)
}

// faultOf reads what problemOf wrote.
func faultOf(text string) *fault.Fault {
	var p Problem
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return fault.New(fault.Internal, "The problem of a step cannot be read.")
	}
	kind, _ := fault.ParseKind(p.Kind)
	f := &fault.Fault{Kind: kind, Code: p.Code, Message: p.Detail}
	for name, v := range p.Data {
		if n, ok := v.(float64); ok && n == float64(int64(n)) {
			v = int64(n)
		}
		f.Data = append(f.Data, fault.Param{Name: name, Value: v})
	}
	return f
}
