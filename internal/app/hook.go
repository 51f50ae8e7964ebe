package app

import "github.com/galleybackend/galley/internal/spec"

// hookEvents are the events by the words of the app file.
var hookEvents = map[string]string{"create": spec.Created, "update": spec.Updated,
	"delete": spec.Deleted}

// hooks notes which changes run code in the transaction, and which deletes may.
func (c *compiler) hooks() {
	for _, x := range c.app.collections {
		x.hooks = map[string]bool{}
		for _, h := range x.Spec.Hooks {
			x.hooks[hookEvents[h.Name]] = true
		}
		x.Falls = x.hooks[spec.Deleted]
	}
	for range c.app.collections { // a delete falls on as long as there are collections
		for _, x := range c.app.collections {
			c.falls(x)
		}
	}
}

// falls notes of the collections to which records of x point that their deletes reach x.
func (c *compiler) falls(x *Collection) {
	for _, f := range x.Spec.Fields {
		of := f.Type.Of
		if f.Type.Elem != nil {
			of = f.Type.Elem.Of
		}
		to := c.app.byName[of]
		if to == nil {
			continue
		}
		switch f.OnDelete {
		case spec.OnDeleteCascade:
			to.Falls = to.Falls || x.Falls
		case spec.OnDeleteClear:
			to.Falls = to.Falls || x.hooks[spec.Updated]
		}
	}
}
