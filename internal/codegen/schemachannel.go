package codegen

import "github.com/galleybackend/galley/internal/spec"

// channels are families of channels by their patterns.
func (e *editor) channels() object {
	var known []string
	if users := e.spec.Collection(spec.Users); users != nil {
		known = []string{}
		for _, f := range users.All()[1:] {
			if !f.Hidden && f.Read.Empty() {
				known = append(known, f.Name)
			}
		}
	}
	of := e.closed(object{
		"join": e.rule("Who may be in it. The parameters of the name are variables."),
		"send": e.rule("Who of its members may send. Without it only code sends."),
		"presence": e.names(known, "Members see who is there, with these fields of users. "+
			"Without it they do not."),
	})
	of["required"] = []string{"join"}
	return e.open(of, "Messages that are not stored, and who is there, such as board/{board:boards}.")
}
