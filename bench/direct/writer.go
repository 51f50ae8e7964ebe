package main

import "sync"

// groupMax is how many writes at most share one commit.
const groupMax = 64

// writer runs a write in a transaction and returns after its commit is on disk. A
// write that returns an error leaves nothing behind.
type writer interface {
	write(work func(*database) error) error
}

// singleWriter gives every write a commit of its own.
type singleWriter struct {
	mu sync.Mutex
	db *database
}

func (w *singleWriter) write(work func(*database) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.db.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := work(w.db); err != nil {
		return orElse(w.db.exec("ROLLBACK"), err)
	}
	if err := w.db.exec("COMMIT"); err != nil {
		return orElse(w.db.exec("ROLLBACK"), err)
	}
	return nil
}

// groupWriter commits what waits at the same time together.
type groupWriter struct {
	db   *database
	jobs chan *job
}

type job struct {
	work func(*database) error
	err  error
	done chan struct{}
}

func newGroupWriter(db *database) *groupWriter {
	w := &groupWriter{db: db, jobs: make(chan *job, groupMax)}
	go w.run() // for as long as the process lives
	return w
}

func (w *groupWriter) write(work func(*database) error) error {
	j := &job{work: work, done: make(chan struct{})}
	w.jobs <- j
	<-j.done
	return j.err
}

func (w *groupWriter) run() {
	group := make([]*job, 0, groupMax)
	for first := range w.jobs {
		group = append(group[:0], first)
		err := w.db.exec("BEGIN IMMEDIATE")
		for i := 0; err == nil && i < len(group); i++ {
			if err = w.step(group[i]); err == nil && len(group) < groupMax {
				select {
				case next := <-w.jobs:
					group = append(group, next)
				default:
				}
			}
		}
		if err == nil {
			err = w.db.exec("COMMIT")
		}
		if err != nil {
			err = orElse(w.db.exec("ROLLBACK"), err)
		}
		for _, j := range group {
			if j.err == nil {
				j.err = err
			}
			close(j.done)
		}
	}
}

// step runs one write of the group in a savepoint. Its own error is the caller's; the
// error returned ends the group.
func (w *groupWriter) step(j *job) error {
	if err := w.db.exec("SAVEPOINT one"); err != nil {
		return err
	}
	if j.err = j.work(w.db); j.err != nil {
		if err := w.db.exec("ROLLBACK TO one"); err != nil {
			return err
		}
	}
	return w.db.exec("RELEASE one")
}

// orElse returns the first error that there is.
func orElse(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
