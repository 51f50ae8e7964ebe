package serve

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// handleAfter serves what commands ask of jobs and followers.
func (s *Server) handleAfter(mux *http.ServeMux) {
	mux.HandleFunc("GET /local/jobs", s.handleJobs)
	mux.HandleFunc("GET /local/jobs/{id}", s.handleJob)
	mux.HandleFunc("POST /local/jobs/{id}/retry", s.handleRetryJob)
	mux.HandleFunc("POST /local/jobs/{id}/cancel", s.handleCancelJob)
	mux.HandleFunc("GET /local/followers", s.handleFollowers)
	mux.HandleFunc("GET /local/parked", s.handleParked)
	mux.HandleFunc("POST /local/parked/{id}/{verb}", s.handleUnpark)
}

// tell writes an answer for a command, or why there is none.
func tell(w http.ResponseWriter, v any, err error) {
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		v = failure(err)
	}
	newLines(w).say(v)
}

// page is a list as commands show it.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// jobLine is a job in a list.
type jobLine struct {
	ID      ident.Record `json:"id"`
	Name    string       `json:"name"`
	State   string       `json:"state"`
	Attempt int64        `json:"attempt"`
	Created time.Time    `json:"created"`
	Due     *time.Time   `json:"due"`
	Owner   string       `json:"owner"`
	Problem string       `json:"problem"`
}

func lineOf(i job.Info) jobLine {
	l := jobLine{ID: i.ID, Name: i.Name, State: i.State, Attempt: i.Attempt,
		Created: i.Created, Owner: i.Owner}
	if !i.Due.IsZero() {
		l.Due = &i.Due
	}
	if i.Problem != nil {
		l.Problem = i.Problem.Code
	}
	return l
}

// listUsual is how many things are listed where no limit is given.
const listUsual = 50

// listing reads the limit of a list, and makes sure that its state is one of those that
// there are.
func listing(q url.Values, most int, states ...string) (limit int, err error) {
	if state := q.Get("state"); state != "" && !slices.Contains(states, state) {
		help := ""
		if near := value.Nearest(state, states); near != "" {
			help = " Did you mean " + near + "?"
		}
		return 0, fault.New(fault.Malformed, "There is no state %q; there are %s.%s", state,
			strings.Join(states, ", "), help)
	}
	text := q.Get("limit")
	if text == "" {
		return listUsual, nil
	}
	if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > most {
		return 0, fault.New(fault.Malformed, "The limit is a number from 1 to %d.", most)
	}
	return limit, nil
}

func (s *Server) handleJobs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := listing(q, job.ListMax, job.Waiting, job.Running, job.Done, job.Failed,
		job.Cancelled)
	if err != nil {
		tell(w, nil, err)
		return
	}
	all, err := s.jobs.List(r.Context(), q.Get("state"), q.Get("name"),
		ident.Record(q.Get("cursor")), limit)
	out := page[jobLine]{Items: []jobLine{}}
	for _, i := range all {
		out.Items = append(out.Items, lineOf(i))
	}
	if len(all) == limit {
		out.Next = string(all[limit-1].ID)
	}
	tell(w, out, err)
}

// jobWhole is a job with all that is known of it.
type jobWhole struct {
	jobLine
	Retry    int            `json:"retry"`
	Progress *job.Progress  `json:"progress,omitempty"`
	Begun    *time.Time     `json:"begun,omitempty"`
	Ended    *time.Time     `json:"ended,omitempty"`
	Node     ident.Record   `json:"node,omitempty"`
	Trace    string         `json:"trace"`
	Input    any            `json:"input,omitempty"`
	Result   any            `json:"result,omitempty"`
	Problem  *job.Problem   `json:"problem,omitempty"`
	Cause    string         `json:"cause,omitempty"`
	Steps    []job.StepInfo `json:"steps"`
}

func (s *Server) wholeOf(i job.Info) jobWhole {
	out := jobWhole{jobLine: lineOf(i), Progress: i.Progress, Node: i.Node, Problem: i.Problem,
		Trace: job.Trace(i.ID), Cause: i.Cause, Steps: append([]job.StepInfo{}, i.Steps...)}
	if k := s.engine.App().Job(i.Name); k != nil {
		out.Retry = k.Spec.Retry
	}
	if !i.Begun.IsZero() {
		out.Begun = &i.Begun
	}
	if !i.Ended.IsZero() {
		out.Ended = &i.Ended
	}
	if i.Input != nil {
		out.Input = i.Input
	}
	if i.Result != nil {
		out.Result = i.Result
	}
	return out
}

func (s *Server) handleJob(w http.ResponseWriter, r *http.Request) {
	i, err := s.jobs.Show(r.Context(), ident.Record(r.PathValue("id")))
	if err != nil {
		tell(w, nil, err)
		return
	}
	tell(w, s.wholeOf(i), nil)
}

func (s *Server) handleRetryJob(w http.ResponseWriter, r *http.Request) {
	id := ident.Record(r.PathValue("id"))
	before, err := s.jobs.Show(r.Context(), id)
	if err == nil {
		err = s.jobs.Retry(r.Context(), id, r.URL.Query().Get("from"))
	}
	if err != nil {
		tell(w, nil, err)
		return
	}
	// It may have run by now, so what is told is what it begins with.
	out := s.wholeOf(before)
	out.Attempt = 1
	tell(w, out, nil)
}

func (s *Server) handleCancelJob(w http.ResponseWriter, r *http.Request) {
	id := ident.Record(r.PathValue("id"))
	err := s.jobs.Cancel(r.Context(), id)
	if err != nil {
		tell(w, nil, err)
		return
	}
	s.handleJob(w, r)
}

// followerLine is a follower in a list.
type followerLine struct {
	Name   string `json:"name"`
	Place  string `json:"place"`
	Lag    uint64 `json:"lag"`
	Node   string `json:"node"`
	Parked int    `json:"parked"`
}

func (s *Server) handleFollowers(w http.ResponseWriter, r *http.Request) {
	all, err := s.followers.Status(r.Context())
	out := page[followerLine]{Items: []followerLine{}}
	for _, f := range all {
		out.Items = append(out.Items, followerLine{f.Name, f.Place.String(), f.Lag, f.Host, f.Parked})
	}
	tell(w, out, err)
}

// parkedLine is an entry that was set apart, in a list.
type parkedLine struct {
	ID       ident.Record `json:"id"`
	Follower string       `json:"follower"`
	Entry    string       `json:"entry"`
	At       time.Time    `json:"at"`
	Problem  string       `json:"problem"`
}

func (s *Server) handleParked(w http.ResponseWriter, r *http.Request) {
	all, err := s.followers.Parked(r.Context())
	out := page[parkedLine]{Items: []parkedLine{}}
	for _, p := range all {
		out.Items = append(out.Items, parkedLine{p.ID, p.Follower, p.Seq.String(), p.At, p.Problem})
	}
	tell(w, out, err)
}

func (s *Server) handleUnpark(w http.ResponseWriter, r *http.Request) {
	id, do := ident.Record(r.PathValue("id")), s.followers.Skip
	if r.PathValue("verb") == "retry" {
		do = s.followers.Retry
	}
	tell(w, map[string]string{"id": string(id)}, do(r.Context(), id))
}
