package observe

import (
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// seriesMax bounds the pairs of operation and outcome that are counted apart.
const seriesMax = 2000

// Metrics counts calls, and offers the counts to Prometheus. It is safe for
// concurrent use; a nil *Metrics counts nothing.
type Metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	work     *prometheus.CounterVec

	series sync.Map // of seriesKey to *series
	known  sync.Map // of operation to whether it was ever more than not found
	size   atomic.Int64
}

type seriesKey struct{ operation, outcome string }

// series is what a call of one operation and outcome adds to, looked up once.
type series struct {
	calls   prometheus.Counter
	seconds prometheus.Observer
}

// NewMetrics returns metrics with a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "galley_calls_total", Help: "Calls by operation and outcome.",
		}, []string{"operation", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "galley_call_seconds", Help: "Time of calls by operation.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25,
				.5, 1, 2.5, 5, 10},
		}, []string{"operation"}),
		work: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "galley_work_total",
			Help: "Jobs, emails, deliveries and answers of proxies by what came of them.",
		}, []string{"operation", "outcome"}),
	}
	m.registry.MustRegister(m.calls, m.seconds, m.work, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry returns the registry, for what else a process has to count.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler returns the page that Prometheus reads. It belongs on the admin's address.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Worked counts what came of something that was done beside calls: a run of a job, a mail,
// a delivery, an answer of a proxy. Operations are those of the app file, so that they are
// bounded.
func (m *Metrics) Worked(operation, outcome string) {
	if m != nil {
		m.work.WithLabelValues(operation, outcome).Inc()
	}
}

func (m *Metrics) count(c *Call) {
	if m == nil {
		return
	}
	s := m.of(c)
	s.calls.Inc()
	s.seconds.Observe(c.Took.Seconds())
}

// of returns the series of a call. Callers can name operations that do not exist, so
// one that was never anything but not found has no series of its own.
func (m *Metrics) of(c *Call) *series {
	operation := c.Operation
	switch {
	case operation == "":
		operation = "none"
	case c.Status == http.StatusNotFound:
		if _, ok := m.known.Load(operation); !ok {
			operation = "none"
		}
	}
	key := seriesKey{operation, c.Outcome}
	if s, ok := m.series.Load(key); ok {
		return s.(*series)
	}
	if m.size.Load() >= seriesMax {
		key.operation = "other"
	} else {
		m.known.Store(key.operation, true)
	}
	s, loaded := m.series.LoadOrStore(key, &series{
		m.calls.WithLabelValues(key.operation, key.outcome),
		m.seconds.WithLabelValues(key.operation),
	})
	if !loaded {
		m.size.Add(1)
	}
	return s.(*series)
}
