package app

import (
	"slices"

	"github.com/galleybackend/galley/internal/spec"
)

// everybody is who may call what has no condition.
const everybody = "everybody"

// signing returns how people come in: what they may send then opens their record.
func (a *App) signing() []Row {
	auth := a.Spec.Auth
	if auth == nil {
		return nil
	}
	var rows []Row
	in, out := []string{spec.FieldEmail, "password"}, a.byName[spec.Users].out()
	if up := auth.SignUp; up != nil {
		fields := slices.Clone(in)
		for _, f := range up.Fields {
			fields = append(fields, f.Name)
		}
		rows = append(rows, Row{Method: "POST", Path: "/api/auth/sign-up", Who: everybody,
			Place: Place(up.Pos), In: fields, Out: out})
	}
	return append(rows, Row{Method: "POST", Path: "/api/auth/sign-in", Who: everybody,
		Place: Place(auth.Pos), In: append(in, "token"), Out: out})
}
