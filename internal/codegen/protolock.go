package codegen

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// LockFile is the name of the file that keeps the numbers of protobuf fields.
const LockFile = "galley.lock"

const lockHead = `# The numbers that fields and words have in protobuf, once and for all. galley dev and
# galley gen proto write this file. Commit it, and let nobody edit it.
`

// The numbers that no field may have: those of protobuf itself, and that of what is
// expanded.
const (
	numberExpand  = 1000
	numberOwnMin  = 19000
	numberOwnMax  = 19999
	numberLockMax = 1<<29 - 1
)

// lock holds the numbers that were given away. A scope is a message or an enum, as a
// path in the app file that ends with a dot or a colon.
type lock struct {
	lines []*lockLine
	// last is the greatest number of each scope.
	last map[string]int32
}

// lockLine is a number of a field, or of a word.
type lockLine struct {
	scope  string
	name   string
	number int32
	// as is the form on the wire: another one is another field. Words have none.
	as string
	// used reports that the app file still has it.
	used bool
	// line is where the text of the lock says so, 0 for a new one; was what it was called
	// there, and gone whether the app file had it no more then.
	line int
	was  string
	gone bool
}

// readLock reads the text of a lock; empty is one without numbers.
func readLock(text []byte) (*lock, error) {
	l := &lock{last: map[string]int32{}}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		words := strings.Fields(string(line))
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		one, ok := readLockLine(words)
		if !ok {
			return nil, fmt.Errorf("%s:%d: this line is no path and number", LockFile, n)
		}
		for _, other := range l.lines {
			if other.scope == one.scope && other.number == one.number {
				return nil, fmt.Errorf("%s:%d: %s%s and %s%s have the same number", LockFile, n,
					other.scope, other.name, one.scope, one.name)
			}
		}
		one.line, one.was = n, one.scope+one.name
		l.add(one)
	}
	return l, nil
}

func readLockLine(words []string) (*lockLine, bool) {
	at := strings.LastIndexAny(words[0], ".:")
	if len(words) < 2 || len(words) > 4 || at < 1 || at == len(words[0])-1 {
		return nil, false
	}
	number, err := strconv.ParseInt(words[1], 10, 32)
	if err != nil || number < 1 || number > numberLockMax {
		return nil, false
	}
	line := &lockLine{scope: words[0][:at+1], name: words[0][at+1:], number: int32(number)}
	rest := words[2:]
	if len(rest) > 0 && rest[len(rest)-1] == "gone" {
		rest, line.gone = rest[:len(rest)-1], true
	}
	if len(rest) > 1 {
		return nil, false
	}
	line.as = strings.Join(rest, "")
	return line, true
}

func (l *lock) add(line *lockLine) {
	l.lines = append(l.lines, line)
	l.last[line.scope] = max(l.last[line.scope], line.number)
}

// number returns the number of a name in a scope: the one that it had, or that it had
// by the name that it bore before, else the next one, from first on.
func (l *lock) number(scope, name, was, as string, first int32) int32 {
	if line := l.find(scope, name, as); line != nil {
		line.used = true
		return line.number
	}
	if line := l.find(scope, was, as); was != "" && line != nil && !line.used {
		line.name, line.used = name, true
		return line.number
	}
	next := max(first, l.last[scope]+1)
	switch {
	case next == numberExpand:
		next++
	case next >= numberOwnMin && next <= numberOwnMax:
		next = numberOwnMax + 1
	}
	l.add(&lockLine{scope: scope, name: name, number: next, as: as, used: true})
	return next
}

func (l *lock) find(scope, name, as string) *lockLine {
	for _, line := range l.lines {
		if line.scope == scope && line.name == name && line.as == as {
			return line
		}
	}
	return nil
}

// rename gives what is below a path another one, where that has nothing yet.
func (l *lock) rename(from, to string) {
	if from == "" {
		return
	}
	for _, line := range l.lines {
		if strings.HasPrefix(line.scope, to+".") {
			return
		}
	}
	for _, line := range l.lines {
		if rest, ok := strings.CutPrefix(line.scope, from+"."); ok {
			last := l.last[line.scope]
			line.scope = to + "." + rest
			l.last[line.scope] = max(l.last[line.scope], last)
		}
	}
}

// gone returns the numbers and names of a scope that are not used any more.
func (l *lock) gone(scope string) (numbers []int32, names []string) {
	used := map[string]bool{}
	for _, line := range l.lines {
		if line.scope == scope && line.used {
			used[line.name] = true
		}
	}
	for _, line := range l.lines {
		if line.scope != scope || line.used {
			continue
		}
		numbers = append(numbers, line.number)
		if !used[line.name] && !slices.Contains(names, line.name) {
			names = append(names, line.name)
		}
	}
	slices.Sort(numbers)
	return numbers, names
}

// text writes the lock.
func (l *lock) text() []byte {
	lines := slices.Clone(l.lines)
	slices.SortFunc(lines, func(a, b *lockLine) int {
		return cmp.Or(strings.Compare(a.scope, b.scope), cmp.Compare(a.number, b.number))
	})
	b := []byte(lockHead)
	for _, line := range lines {
		b = strconv.AppendInt(append(append(append(b, line.scope...), line.name...), ' '),
			int64(line.number), 10)
		if line.as != "" {
			b = append(append(b, ' '), line.as...)
		}
		if !line.used {
			b = append(b, " gone"...)
		}
		b = append(b, '\n')
	}
	return b
}
