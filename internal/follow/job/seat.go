package job

import (
	"context"
	"time"
)

// Only so many jobs compute at once, so that requests find processors: each has a seat
// for as long as it computes, and gives it up while it waits for a step to be written,
// for another server, for the commit of a transaction. Who computes for long gets a
// thread of less weight; who sits there and does not compute, because its code waits for
// something else, has its seat lent to another.

const (
	// watchEach is how often those with a seat are looked at.
	watchEach = 10 * time.Millisecond
	// longTime is after how long a job that computes gets less weight, and lendTime after
	// how long one that does not has its seat lent to another.
	longTime = 20 * time.Millisecond
	lendTime = 50 * time.Millisecond
)

// seat is a worker's leave to compute.
type seat struct {
	thread thread
	// Guarded by Jobs.mu: since is when it was taken, zero if it is not; used is what
	// the thread had computed when it was first looked at.
	since  time.Time
	looked time.Time
	used   time.Duration
	// slow says that the thread has less weight, lent that another computes instead.
	slow bool
	lent bool
}

// sit waits for the leave to compute. Whoever sits is counted inside already, unless it
// comes back.
func (j *Jobs) sit(s *seat, back bool) {
	j.slots <- struct{}{}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.since, s.looked, s.lent = time.Now(), time.Time{}, false
	if back {
		j.inside++
	}
}

// rise gives the leave to compute back. Whoever leaves is not inside any more.
func (j *Jobs) rise(s *seat, leaves bool) {
	j.mu.Lock()
	lent := s.lent
	s.since, s.lent = time.Time{}, false
	switch {
	case leaves && !lent:
		j.inside--
		j.hire()
	case !leaves && lent:
		j.inside++
	}
	j.mu.Unlock()
	if !lent {
		<-j.slots
	}
}

// watch looks at those with a seat until ctx ends.
func (j *Jobs) watch(ctx context.Context) {
	tick := time.NewTicker(watchEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !j.look(time.Now()) {
			// Nobody computes; whoever begins to says so.
			select {
			case <-ctx.Done():
				return
			case <-j.begun:
			}
		}
	}
}

// look gives less weight to who computes for long, and lends the seat of who does not.
// It reports whether anybody has a seat.
func (j *Jobs) look(now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for s := range j.seats {
		held := now.Sub(s.since)
		if s.since.IsZero() || s.lent || held < longTime {
			continue
		}
		used, known := s.thread.used()
		if !known {
			continue
		}
		if s.looked.IsZero() {
			s.looked, s.used = now, used
			continue
		}
		passed, computed := now.Sub(s.looked), used-s.used
		switch {
		case !s.slow && computed > longTime/2:
			s.slow = s.thread.yield() == nil
		case passed > lendTime && computed < passed/20 && len(j.slots) == cap(j.slots) &&
			s.thread.waits():
			s.lent = true
			<-j.slots
			j.inside--
			j.hire()
		case passed > lendTime:
			s.looked, s.used = now, used
		}
	}
	return j.running > 0
}
