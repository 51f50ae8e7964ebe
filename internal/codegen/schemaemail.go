package codegen

import "github.com/galleybackend/galley/internal/spec"

// email is a kind of mail.
func (e *editor) email() object {
	return e.closed(object{
		"on":    e.trigger(),
		"if":    e.rule("Narrows on: CEL over record and before."),
		"cron":  e.text("A schedule in the app's time zone: minute hour day month weekday."),
		"to":    e.rule("A user, an address, or a set such as users.filter(u, u.verified)."),
		"every": e.text("The least time between two such mails to one person, such as 14d."),
		"until": object{"enum": []string{"click"},
			"description": "No more of them to a person who clicked a link in one."},
	})
}

// trigger completes the changes that can start something.
func (e *editor) trigger() object {
	events := []string{}
	for _, c := range e.spec.Collections {
		for _, event := range []string{spec.Created, spec.Updated, spec.Deleted} {
			events = append(events, c.Name+"."+event)
		}
	}
	t := e.text("The change that starts it, such as orders.created.")
	t["anyOf"] = []object{{"enum": events}, {"type": "string"}}
	return t
}
