package load

import (
	"math/bits"
	"time"
)

// A Histogram counts durations in buckets that are at most 1/16 wide of their value,
// up to 64 s; longer ones count as that. The zero value is empty.
type Histogram struct {
	buckets [bucketCount]int64
	count   int64
}

const (
	bucketBits  = 4 // 16 buckets for each doubling
	bucketCount = 27 << bucketBits
)

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	h.buckets[bucket(d)]++
	h.count++
}

// Add counts all that another has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
}

// Count returns how many durations were counted.
func (h *Histogram) Count() int64 { return h.count }

// Quantile returns the upper edge of the bucket in which the share q of all counted
// durations ends, and zero for an empty histogram.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(q * float64(h.count))
	for i, n := range h.buckets {
		if rank -= n; rank < 0 {
			return edge(i)
		}
	}
	return 0
}

// bucket finds the bucket of d by its µs: its highest bit and the four below it.
func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 1<<bucketBits {
		return int(us)
	}
	shift := bits.Len64(us) - bucketBits - 1
	return min(shift<<bucketBits+int(us>>shift), bucketCount-1)
}

// edge returns the upper edge of a bucket.
func edge(i int) time.Duration {
	if i < 2<<bucketBits {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i>>bucketBits - 1
	return time.Duration((i-shift<<bucketBits)+1) << shift * time.Microsecond
}
