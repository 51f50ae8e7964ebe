package codegen

import "strings"

// ProtoBreak is something that clients know which were made of an earlier .proto file, and
// that is another now or is not there any more.
type ProtoBreak struct {
	// Line is where LockFile names it.
	Line int
	Text string
}

// Breaks returns what is not as the lock's text says, in the order of the text.
func (p *Proto) Breaks() []ProtoBreak {
	var out []ProtoBreak
	for _, line := range p.lock.lines {
		if line.line == 0 || line.gone || line.scope == scopeBatch {
			continue // new, told of before, or told of by what is asked for there
		}
		text := p.lock.changed(line)
		if text != "" && (len(out) == 0 || out[len(out)-1].Text != text) {
			out = append(out, ProtoBreak{line.line, text})
		}
	}
	return out
}

// changed says what became of a field or a word, "" if it is what it was.
func (l *lock) changed(line *lockLine) string {
	if line.used {
		if old := line.was[strings.LastIndexAny(line.was, ".:")+1:]; old != line.name {
			return line.was + " is called " + line.name + ": it keeps its number, but in JSON " +
				"clients made before ask for " + old
		}
		return ""
	}
	root := line.root()
	whole := true
	for _, other := range l.lines {
		switch {
		case !other.used:
			if !other.gone && strings.TrimRight(line.scope, ".:") == other.scope+other.name {
				return "" // what it is a part of is told of
			}
		case other.scope == line.scope && other.name == line.name:
			return line.was + " was " + line.as + " and is " + other.as + ": it has another number, " +
				"and clients made before do not see it"
		case other.root() == root:
			whole = false
		}
	}
	if whole {
		return strings.TrimRight(root, ".") + " is gone: clients made before ask for what is not there"
	}
	return line.was + " is gone: clients made before do not get it, and are refused if they send it"
}

// root is the scope of the collection, the view or the action.
func (l *lockLine) root() string {
	n := 1
	if strings.HasPrefix(l.scope, "actions.") {
		n = 2
	}
	at := 0
	for range n {
		if i := strings.IndexAny(l.scope[at:], ".:"); i >= 0 {
			at += i + 1
		}
	}
	return l.scope[:at]
}
