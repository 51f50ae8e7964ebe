//go:build faults

package faults

import (
	"math/rand/v2"
	"testing"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// heal ends the silence, and the connections that have lost something in it.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = false
	for w := range p.links {
		w.close()
	}
}

// TestNetworkFallsSilent lets the network between a node and its server swallow
// everything, in the midst of its writes: neither side hears that the other is gone. The
// other nodes go on when the server gives up on it, and so does it when it is heard again.
func TestNetworkFallsSilent(t *testing.T) {
	t.Parallel()
	address := pgtest.Shared(t).Database(t)
	one, first := stand(t, address)
	w := begin(t, first, address, address)
	w.progress(10)
	one.cut(rand.New(rand.NewPCG(w.seed, 1)), cutSilence)
	w.progress(30, 1, 2)
	one.heal()
	w.progress(10)
	w.end()
}

// TestNodesFailOver ends the server of processes for good; they go on with its standby.
func TestNodesFailOver(t *testing.T) {
	t.Parallel()
	one := pgtest.Start(t)
	address := one.Database(t)
	two := one.Standby(t)
	address = one.Either(t, address, two)
	f := launch(t, address, address)
	stop := make(chan struct{})
	loading := f.load(stop)
	f.progress(between)
	one.Kill(t)
	two.Promote(t)
	f.progress(between)
	f.kill(0)
	f.progress(between)
	f.start(0)
	f.progress(between)
	close(stop)
	loading.Wait()
	f.judge(address)
}
