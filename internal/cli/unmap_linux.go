package cli

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
)

// settle gives back to the system what only the start needed: its garbage, and the pages
// of the program itself that it has looked at. Those stay in the cache of the system, from
// which each comes back when it is used.
func settle() {
	debug.FreeOSMemory()
	for _, m := range ownPages() {
		// It is a hint: where the system does not take it, the pages stay.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from,
			syscall.MADV_DONTNEED)
	}
}

// pages is a part of the memory.
type pages struct{ from, to uintptr }

// ownPages are the parts of the memory that are the program's file as it is: nobody may
// write there, and nothing of it was changed before that was so.
func ownPages() (out []pages) {
	path, err := os.Executable()
	if err != nil {
		return nil
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil
	}
	defer f.Close()
	var m pages
	own := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		word := strings.Fields(lines.Text())
		switch {
		case len(word) >= 5 && strings.Contains(word[0], "-"):
			_, err := fmt.Sscanf(word[0], "%x-%x", &m.from, &m.to)
			own = err == nil && len(word) == 6 && word[5] == path &&
				(word[1] == "r-xp" || word[1] == "r--p")
		case own && len(word) == 3 && word[0] == "Anonymous:" && word[1] == "0":
			out = append(out, m)
		}
	}
	return out
}
