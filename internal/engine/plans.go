package engine

import "sync"

// plansMax is how many compiled reads one generation of the cache holds.
const plansMax = 512

// plans keeps what was compiled from callers' texts, so that a store prepares each
// once. It keeps two generations: what is asked for while it is in the older one goes
// on to the younger, and when that is full the older one is dropped.
type plans struct {
	mu         sync.RWMutex
	young, old map[string]any
}

func newPlans() *plans { return &plans{young: map[string]any{}} }

func (p *plans) get(key string) any {
	p.mu.RLock()
	v, ok := p.young[key]
	if !ok {
		v = p.old[key]
	}
	p.mu.RUnlock()
	if !ok && v != nil {
		p.put(key, v)
	}
	return v
}

func (p *plans) put(key string, v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.young) >= plansMax {
		p.old, p.young = p.young, make(map[string]any, plansMax)
	}
	p.young[key] = v
}
