package galley

import "github.com/galleybackend/galley/internal/action/goaction"

// Program returns what was registered.
func (a *App) Program() *goaction.Program { return a.program }
