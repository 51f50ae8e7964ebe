package observe

import "github.com/prometheus/client_golang/prometheus"

// Follow has the lag of followers told: how many entries each has yet to accept.
func (m *Metrics) Follow(lag func() map[string]uint64) {
	m.registry.MustRegister(&lagging{lag, prometheus.NewDesc("galley_follower_lag",
		"Entries that a follower has yet to accept.", []string{"follower"}, nil)})
}

// lagging asks for the lag whenever somebody wants to know.
type lagging struct {
	ask  func() map[string]uint64
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (l *lagging) Describe(out chan<- *prometheus.Desc) { out <- l.desc }

// Collect implements prometheus.Collector.
func (l *lagging) Collect(out chan<- prometheus.Metric) {
	for name, n := range l.ask() {
		out <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, float64(n), name)
	}
}
