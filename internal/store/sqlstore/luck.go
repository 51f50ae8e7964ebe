package sqlstore

import (
	"sync"
	"sync/atomic"
)

// luck says whether calls of an operation are worth a run ahead: where others change
// what they read all the time, they go into the line at once.
type luck struct{ wait, penalty atomic.Int32 }

// penaltyMax bounds the calls that go into the line at once before the next try.
const penaltyMax = 64

func (l *luck) ahead() bool {
	if l.wait.Load() <= 0 {
		return true
	}
	l.wait.Add(-1)
	return false
}

func (l *luck) won() { l.penalty.Store(l.penalty.Load() / 2) }

// lost lets one loss pass and makes the wait longer with each that follows it.
func (l *luck) lost() {
	n := l.penalty.Load()
	l.wait.Store(n)
	l.penalty.Store(min(n*2+1, penaltyMax))
}

// lucks are the operations that are known: few, because their names are the app's.
type lucks struct{ of sync.Map }

func (l *lucks) find(operation string) *luck {
	if v, ok := l.of.Load(operation); ok {
		return v.(*luck)
	}
	v, _ := l.of.LoadOrStore(operation, &luck{})
	return v.(*luck)
}
