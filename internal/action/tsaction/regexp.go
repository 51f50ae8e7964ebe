package tsaction

import (
	"sync"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// matchTime is how long one match of a regular expression may take.
const matchTime = 100 * time.Millisecond

// matchGivenUp is from when on a match that found nothing counts as given up: the
// bound is kept in coarse ticks, which come late on a machine that has much to do, so
// that it may be early.
const matchGivenUp = matchTime / 2

// matchLook is how exactly that is kept.
const matchLook = 10 * time.Millisecond

// boundMatches makes regular expressions that backtrack give up. The engine compiles
// them itself and takes this bound from the package's default; nothing else here
// uses that package.
var boundMatches = sync.OnceFunc(func() {
	regexp2.SetTimeoutCheckPeriod(matchLook)
	regexp2.DefaultMatchTimeout = matchTime
})
