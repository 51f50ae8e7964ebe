package spec

import (
	"slices"

	"github.com/galleybackend/galley/internal/value"
)

// Risk says what a step may do to what is stored.
type Risk uint8

// The risks, from none to the greatest.
const (
	// Safe steps cannot fail on what is stored, nor lose any of it.
	Safe Risk = iota
	// NeedsCheck steps are safe if every stored record fits: the store counts those
	// that do not.
	NeedsCheck
	// LosesData steps throw values away, if there are any.
	LosesData
)

// String returns the word that a plan prints.
func (r Risk) String() string {
	return [...]string{"safe", "needs a check", "loses data"}[r]
}

// Risk returns what the step may do. It knows the schemas alone: of a step that is
// not Safe only the records tell whether it does harm.
func (s Step) Risk() Risk {
	switch s.Kind {
	case DropCollection, DropField:
		return LosesData
	case AddField:
		if s.Type.Optional || s.Fill.Kind() != value.Absent {
			return Safe
		}
		return NeedsCheck
	case ChangeField:
		return s.change()
	case ChangeChecks:
		return NeedsCheck
	case ChangeIndexes:
		if len(s.Unique) > 0 {
			return NeedsCheck
		}
	}
	return Safe
}

// change judges a field that keeps its values under a new type.
func (s Step) change() Risk {
	if s.Old.Optional && !s.Type.Optional && s.Fill.Kind() == value.Absent {
		return NeedsCheck
	}
	if !widens(s.Old, s.Type) {
		return NeedsCheck
	}
	return Safe
}

// widens reports whether every value of the old type, but null, is one of the next.
func widens(old, next *value.Type) bool {
	if next.Pattern != nil && (old.Pattern == nil || old.Pattern.Text != next.Pattern.Text) {
		return false
	}
	switch {
	case !boundsWiden(old, next):
		return false
	case old.Kind == next.Kind:
	case isPlain(next.Kind) && isWord(old.Kind):
		return true
	default:
		return old.Kind == value.TypeInt || old.Kind == value.TypeMoney
	}
	switch next.Kind {
	case value.TypeEnum:
		return !slices.ContainsFunc(old.Words, func(w string) bool {
			return !slices.Contains(next.Words, w)
		})
	case value.TypeRelation:
		return old.Of == next.Of
	case value.TypeList:
		return widens(old.Elem, next.Elem)
	case value.TypeObject:
		return objectWidens(old.Fields, next.Fields)
	}
	return true
}

// objectWidens reports whether items of the old shape are items of the next: no
// field went, and each that came may be left out.
func objectWidens(old, next *value.Shape) bool {
	for _, f := range old.Fields() {
		slot, ok := next.Index(f.Name)
		if !ok {
			return false
		}
		g := next.Fields()[slot]
		if f.Type.Optional && !g.Type.Optional || !widens(&f.Type, &g.Type) {
			return false
		}
	}
	for _, g := range next.Fields() {
		if _, ok := old.Index(g.Name); !ok && !g.Type.Optional {
			return false
		}
	}
	return true
}

func isPlain(k value.TypeKind) bool { return k == value.TypeString || k == value.TypeText }

// isWord reports whether values of the kind are texts that any text field of the
// same length can hold.
func isWord(k value.TypeKind) bool {
	return isPlain(k) || k == value.TypeEmail || k == value.TypeURL || k == value.TypeEnum ||
		k == value.TypeRelation || k == value.TypeID
}

// boundsWiden reports whether the next bounds hold the old ones.
func boundsWiden(old, next *value.Type) bool {
	if next.Min != nil {
		low, ok := figure(old, old.Min)
		if want, _ := figure(next, next.Min); !ok || low < want {
			return false
		}
	}
	high, bounded := greatest(old)
	want, limited := greatest(next)
	return !limited || bounded && high <= want
}

// figure returns a bound as a number.
func figure(t *value.Type, b *value.Bound) (float64, bool) {
	switch {
	case b == nil:
		return 0, false
	case t.Kind == value.TypeFloat:
		return b.Float, true
	default:
		return float64(b.Int), true
	}
}

// greatest returns the greatest value or length of a type, its own where none is
// written.
func greatest(t *value.Type) (float64, bool) {
	if n, ok := figure(t, t.Max); ok {
		return n, true
	}
	switch t.Kind {
	case value.TypeString:
		return value.StringMax, true
	case value.TypeText:
		return value.TextMax, true
	case value.TypeEmail:
		return emailMax, true
	case value.TypeEnum, value.TypeRelation, value.TypeID:
		return wordMax, true
	case value.TypeInt, value.TypeMoney:
		return value.IntMax, true
	case value.TypeList:
		return value.ListMax, true
	}
	return 0, false
}

const (
	// emailMax is the greatest length of an email address (RFC 5321).
	emailMax = 254
	// wordMax is the greatest length of a word of an enum, and more than an id's.
	wordMax = 60
)
