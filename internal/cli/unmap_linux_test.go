package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What only the start has looked at is not held any more.
func TestServerGivesBackWhatItsStartNeeded(t *testing.T) {
	if len(ownPages()) == 0 {
		t.Fatal("the program's own pages are not found")
	}
	before := fileMemory(t)
	settle()
	if after := fileMemory(t); after > before/2 {
		t.Errorf("got %d kB of files in memory, want less than half of %d", after, before)
	}
}

// fileMemory is how many kB of files the process has in its memory.
func fileMemory(t *testing.T) (kb int) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssFile:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}
