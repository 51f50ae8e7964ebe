package serve

import (
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/tsaction"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/follow/delivery"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/system"
)

// The names by which app and engine know the languages.
const (
	languageTS = "ts"
	languageGo = "go"
)

// Compiled is an app that was read, whether it can run or not.
type Compiled struct {
	// App is nil if a finding is an error.
	App *app.App
	// Spec is what could be read of the app file; nil if nothing could.
	Spec     *spec.Spec
	Findings []spec.Finding
	// Files holds the text of what was read, for excerpts.
	Files map[string][]byte
	// source is what the app was compiled of, missing the actions in Go that this
	// program has no code for; there are some only in an app that another deployed.
	source archive
	// sealed is the app's file of secrets, nil if it has none.
	sealed []byte
	// dev is the text of its values for development, nil if it has none; developed
	// reports that they are used.
	dev       []byte
	developed bool
	missing   []string
	// lock is the text of the numbers that protobuf's fields have, nil if there are none.
	lock []byte
}

// Failed reports whether the app has errors.
func (c Compiled) Failed() bool { return spec.Failed(c.Findings) }

// files returns the app's files.
func (c Config) files() fs.FS {
	if c.Files != nil {
		return c.Files
	}
	return os.DirFS(c.AppDir())
}

// Compile reads and compiles the app, without a database. All findings of the app
// file are told at once; those of code, if the file has no errors.
func Compile(c Config) Compiled {
	files := &sources{FS: c.files(), texts: map[string][]byte{}}
	var out Compiled
	out.Spec, out.Findings = appfile.LoadFS(files)
	if c.Files == nil {
		out.Spec.Dir = c.AppDir()
	}
	out.Files = out.Spec.Files
	if out.Failed() {
		out.Findings = append(out.Findings, app.Judge(out.Spec, house(out.Spec))...)
		spec.Sort(out.Findings, appfile.Name)
		return out
	}
	var err error
	if out.sealed, err = readFile(files, config.SecretsFile); err != nil {
		out.Findings = append(out.Findings, spec.Finding{Message: err.Error(),
			Pos: spec.Pos{File: config.SecretsFile, Line: 1, Column: 1}})
	}
	if out.lock, err = readFile(files, codegen.LockFile); err != nil {
		out.Findings = append(out.Findings, spec.Finding{Message: err.Error(),
			Pos: spec.Pos{File: codegen.LockFile, Line: 1, Column: 1}})
	}
	// Values for development are no part of what is deployed.
	out.developed = c.Dev
	if out.dev, err = readFile(c.files(), config.DevSecretsFile); err != nil {
		out.Findings = append(out.Findings, spec.Finding{Message: err.Error(),
			Pos: spec.Pos{File: config.DevSecretsFile, Line: 1, Column: 1}})
	}
	ts, findings := tsaction.Load(files, out.Spec)
	out.Findings = append(out.Findings, findings...)
	code := []app.Code{{Language: languageTS, Program: ts}}
	switch {
	case c.deployed:
		p := partOf(c.Program, out.Spec, ts)
		out.missing = p.missing
		code = append(code, app.Code{Language: languageGo, Program: p})
	case c.Program != nil:
		if p, ok := c.Program.(action.Checker); ok {
			out.Findings = append(out.Findings, p.Check(out.Spec)...)
		}
		code = append(code, app.Code{Language: languageGo, Program: c.Program})
	}
	if out.source, err = files.pack(out.Spec.Site); err != nil {
		out.Findings = append(out.Findings, spec.Finding{Message: err.Error(),
			Pos: spec.Pos{File: appfile.Name, Line: 1, Column: 1}})
	}
	broken := out.Failed()
	compiled, findings := app.Compile(out.Spec, house(out.Spec), code)
	if broken {
		// There is code for the action, but it cannot be read, which was said.
		findings = slices.DeleteFunc(findings, func(f spec.Finding) bool {
			return strings.HasPrefix(f.Message, "no code for the ")
		})
	}
	out.Findings = append(out.Findings, findings...)
	out.Files = withCode(files, out.Files, out.Findings)
	if !out.Failed() {
		out.App = compiled
		out.checkLock()
	}
	return out
}

// CompileDeclared is Compile without the code of the actions: what the app file
// declares, for those who make what that code is then written with. The App has no
// programs.
func CompileDeclared(c Config) Compiled {
	var out Compiled
	out.Spec, out.Findings = appfile.LoadFS(c.files())
	if c.Files == nil {
		out.Spec.Dir = c.AppDir()
	}
	out.Files = out.Spec.Files
	if out.Failed() {
		return out
	}
	compiled, findings := app.Compile(out.Spec, house(out.Spec), nil)
	out.Findings = append(out.Findings, findings...)
	if !out.Failed() {
		out.App = compiled
		// A file that cannot be read is as one that says nothing: who serves the app is told.
		out.lock, _ = readFile(c.files(), codegen.LockFile)
	}
	return out
}

// withCode adds the text of files that findings are about, for their excerpts.
func withCode(files fs.FS, texts map[string][]byte, findings []spec.Finding) map[string][]byte {
	all := maps.Clone(texts)
	for _, f := range findings {
		if _, ok := all[f.Pos.File]; ok || all == nil {
			continue
		}
		if text, err := fs.ReadFile(files, f.Pos.File); err == nil {
			all[f.Pos.File] = text
		}
	}
	return all
}

// house returns the quiet collections that an app needs.
func house(s *spec.Spec) []*spec.Collection {
	all := slices.Concat(system.Collections(), follow.Collections(), job.Collections(),
		mail.Collections(s), delivery.Collections(s))
	if s.Auth != nil {
		all = append(all, auth.Collections()...)
	}
	return all
}
