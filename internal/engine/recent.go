package engine

import "sync"

// recent keeps what was of use of late. It keeps two generations of at most max each: what
// is asked for while it is in the older one goes on to the younger, and when that is full
// the older one is dropped.
type recent[K comparable, V any] struct {
	max        int
	mu         sync.RWMutex
	young, old map[K]V
}

func newRecent[K comparable, V any](max int) *recent[K, V] {
	return &recent[K, V]{max: max, young: map[K]V{}}
}

func (p *recent[K, V]) get(key K) (V, bool) {
	p.mu.RLock()
	v, young := p.young[key]
	ok := young
	if !young {
		v, ok = p.old[key]
	}
	p.mu.RUnlock()
	if ok && !young {
		p.put(key, v)
	}
	return v, ok
}

func (p *recent[K, V]) has(key K) bool {
	_, ok := p.get(key)
	return ok
}

func (p *recent[K, V]) put(key K, v V) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.young) >= p.max {
		p.old, p.young = p.young, make(map[K]V, p.max)
	}
	p.young[key] = v
}

func (p *recent[K, V]) drop(key K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.young, key)
	delete(p.old, key)
}
