//go:build faults

package faults

import (
	"os"
	"strconv"
	"testing"
)

const kills, cuts, changes = 5, 5, 20

// often is how often something is done: as a variable of the environment says, or else as
// usual.
func often(t *testing.T, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is a number of at least 1, not %q", variable, text)
	}
	return n
}
