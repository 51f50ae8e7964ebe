// Package galley makes a backend of an app file and functions in Go: the same app, the
// same commands and the same promises as with the galley command, with actions, hooks,
// jobs, webhooks and routes written in Go. It promises what the app file says; the
// functions cannot break it.
// Types for an app's records, ids and codes are made by galley gen go.
package galley

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/goaction"
	"github.com/galleybackend/galley/internal/cli"
	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// App is an app with functions in Go. Register all of them before it is run.
type App struct {
	files   fs.FS
	program *goaction.Program
}

// New returns an app whose galley.yaml, and what belongs to it, is in files; nil
// means the folder that the flag --app names.
func New(files fs.FS) *App { return &App{files: files, program: goaction.New()} }

// Action registers run as the code of the named action. In and Out are structs whose
// fields are named as in the app file, by json tags or else in their Go form; an
// action without input or output has struct{} there. When the app starts they are
// compared with the app file, and it does not start if they differ.
//
// The function runs in one serializable transaction and may be run again if another
// call came between, so it must do nothing outside tx. What it returns as an error
// undoes all it wrote: a refusal is answered as such, anything else as an internal
// error. A function that runs longer than its bound ends the call, but Go cannot stop
// it: it goes on without tx until it returns.
func Action[In, Out any](app *App, name string, run func(tx *Tx, in In) (Out, error)) {
	goaction.Add(app.program, name, run, func(c *goaction.Call, in In) (Out, error) {
		return run(&Tx{c}, in)
	})
}

// Main is the whole galley command for this app: dev, serve, check and all others.
// It reads the command line and does not return.
func (a *App) Main() {
	os.Exit(cli.Main(os.Args[1:], cli.Program{
		Files: a.files, Actions: a.program, Runner: goaction.Runner{},
	}))
}

// Config says where an app runs that is served by a program's own server.
type Config struct {
	// App is the folder of the app, for an app without files of its own; "" means
	// the current one.
	App string
	// Data is the folder of the database; "" means data in the folder of the app.
	Data string
	// Database is the address of the database, as --database takes it; "" means what the
	// environment has as GALLEY_DATABASE, or else a file in the folder Data.
	Database string
}

// Server is an app that is open for requests. It is safe for concurrent use.
type Server struct{ server *serve.Server }

// Open opens the app and its database, for programs with a server of their own. If
// the app has errors, or a function does not fit the app file, the error says which
// and where.
func (a *App) Open(ctx context.Context, c Config) (*Server, error) {
	s, err := serve.Open(ctx, serve.Config{
		Config: config.Config{App: c.App, Data: c.Data, Database: c.Database},
		Files:  a.files, Program: a.program, Runner: goaction.Runner{},
	})
	var broken *serve.AppError
	if errors.As(err, &broken) {
		var text strings.Builder
		if err := appfile.Render(&text, broken.Findings, broken.Files, false); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w:\n%s", broken, text.String())
	}
	if err != nil {
		return nil, err
	}
	return &Server{s}, nil
}

// Handler answers the app's requests.
func (s *Server) Handler() http.Handler { return s.server.Handler() }

// Close finishes the calls that run and closes the database.
func (s *Server) Close() error { return s.server.Close() }

// Refuse returns the error by which an action says no: the call is undone and answers
// with the code, which must be one of the app's errors or checks, or one of ours such
// as not_found. The pairs of name and value are sent along.
func Refuse(code string, pairs ...any) error {
	f := &fault.Fault{Kind: fault.Refused, Code: code}
	if _, file, line, ok := runtime.Caller(1); ok {
		f.Line = fmt.Sprintf("%s:%d", filepath.Base(file), line)
	}
	if kind, ok := action.HouseKind(code); ok {
		f.Kind = kind
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if name, ok := pairs[i].(string); ok {
			f.Data = append(f.Data, fault.Param{Name: name, Value: goaction.Param(pairs[i+1])})
		}
	}
	return f
}

// Code returns the code of an error that tx returned, or "" if it has none.
func Code(err error) string {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f.CodeOr()
	}
	return ""
}
