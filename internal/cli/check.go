package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/value"
)

// serveConfig is the configuration of this command line.
func (c *command) serveConfig() serve.Config {
	return serve.Config{Config: c.config, Files: c.program.Files,
		Program: c.program.Actions, Runner: c.program.Runner,
		Log: slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

// opening says why an app could not be opened.
func (c *command) opening(err error) error {
	var bad *serve.AppError
	if !errors.As(err, &bad) {
		return err
	}
	if err := c.findings(bad.Findings, bad.Files); err != nil {
		return err
	}
	c.say("\n%s", counted(bad.Findings))
	return exit{exitApp}
}

// findings writes findings in the form that was asked for, with places that can be
// opened from here.
func (c *command) findings(findings []spec.Finding, files map[string][]byte) error {
	if dir := filepath.Clean(c.config.AppDir()); dir != "." && c.program.Files == nil {
		here := make(map[string][]byte, len(files))
		for name, text := range files {
			here[filepath.Join(dir, name)] = text
		}
		files, findings = here, slices.Clone(findings)
		for i, f := range findings {
			findings[i].Pos.File = filepath.Join(dir, f.Pos.File)
			if f.See.File != "" {
				findings[i].See.File = filepath.Join(dir, f.See.File)
			}
		}
	}
	if c.json {
		return appfile.RenderJSON(c.out, findings)
	}
	return appfile.Render(c.err, findings, files, c.color)
}

// counted counts errors and warnings.
func counted(findings []spec.Finding) string {
	errs, warnings := 0, 0
	for _, f := range findings {
		if f.Severity == spec.Error {
			errs++
		} else {
			warnings++
		}
	}
	var parts []string
	if errs > 0 {
		parts = append(parts, plural(errs, "error"))
	}
	if warnings > 0 {
		parts = append(parts, plural(warnings, "warning"))
	}
	if len(parts) == 0 {
		return "no errors"
	}
	return strings.Join(parts, ", ")
}

func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}

// verb is the form of a verb that goes with a number.
func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// compile reads the app, or says what is wrong with it.
func (c *command) compile() (serve.Compiled, error) {
	return c.sound(serve.Compile(c.serveConfig()))
}

func (c *command) sound(compiled serve.Compiled) (serve.Compiled, error) {
	if compiled.Failed() {
		return compiled, c.opening(&serve.AppError{
			Findings: compiled.Findings, Files: compiled.Files})
	}
	return compiled, nil
}

func (c *command) check() *cobra.Command {
	var surface bool
	cmd := &cobra.Command{
		Use: "check", Short: "Tell everything that can be known without running",
		GroupID: groupWeek, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			start := time.Now()
			compiled, err := c.compile()
			if err != nil {
				return err
			}
			if surface {
				return c.surface(compiled.App.Surface())
			}
			if err := c.findings(compiled.Findings, compiled.Files); err != nil {
				return err
			}
			c.say("%s · %s, %.2f s", counted(compiled.Findings), summary(compiled.Spec),
				time.Since(start).Seconds())
			c.say("What the outside can do:  galley check --surface%s", c.folders())
			return nil
		},
		Example: "  galley check\n  galley check --surface --json > surface.jsonl",
	}
	cmd.Flags().BoolVar(&surface, "surface", false,
		"print what is open: each path, who may call it, which fields go in and come out")
	return cmd
}

// summary counts what an app consists of.
func summary(s *spec.Spec) string {
	rules := 0
	for _, x := range s.Collections {
		rules += len(x.Checks)
		for _, g := range []*spec.Grant{x.Allow.Read, x.Allow.Create, x.Allow.Update, x.Allow.Delete} {
			if g != nil {
				rules++
			}
		}
	}
	for _, a := range s.Actions {
		if !a.Allow.Empty() {
			rules++
		}
	}
	return fmt.Sprintf("%s, %s, %s", plural(len(s.Collections), "collection"),
		plural(rules, "rule"), plural(len(s.Actions), "action"))
}

func (c *command) surface(rows []app.Row) error {
	if c.json {
		for _, r := range rows {
			if err := c.print(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "method\tpath\twho\tin\tout")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Method, r.Path, clip(r.Who),
			listed(r.In), listed(r.Out))
	}
	return w.Flush()
}

func listed(names []string) string {
	if len(names) == 0 {
		return "–"
	}
	return strings.Join(names, " ")
}

func (c *command) gen() *cobra.Command {
	var to, pkg string
	cmd := &cobra.Command{
		Use: "gen ts|go|openapi|asyncapi|proto|schema", Short: "Write files for other tools",
		GroupID: groupMore, Args: cobra.ExactArgs(1),
		Example: "  galley gen openapi > openapi.json\n  galley gen go --package app\n" +
			"  galley gen ts --out web/src/galley.ts",
		ValidArgs: []string{"ts", "go", "openapi", "asyncapi", "proto", "schema"},
		Long: "ts: types of the app's actions and of its client for the editor, into .galley/,\n" +
			"    and those of the package @galley/client (--out)\n" +
			"go: types and tables for actions in Go, into the folder app/ (--out)\n" +
			"openapi: the OpenAPI 3.1 document of what is open, to stdout\n" +
			"asyncapi: the AsyncAPI 3 document of the socket, to stdout\n" +
			"proto: what gRPC clients are generated from, into proto/ (--out), and galley.lock\n" +
			"schema: the editor's schema of galley.yaml, into .galley/schema.json",
		RunE: func(_ *cobra.Command, args []string) error {
			// The code of the actions is written with what is made here.
			compiled, err := c.sound(serve.CompileDeclared(c.serveConfig()))
			if err != nil {
				return err
			}
			return c.runGen(args[0], compiled, to, pkg)
		},
	}
	cmd.Flags().StringVar(&to, "out", "", "where to write")
	cmd.Flags().StringVar(&pkg, "package", "app", "name of the Go package")
	return cmd
}

func (c *command) runGen(what string, compiled serve.Compiled, to, pkg string) error {
	switch what {
	case "ts":
		if to != "" {
			if err := c.write(to, codegen.Client(compiled.Spec)); err != nil {
				return err
			}
		}
		return c.writeFiles(serve.Editor(compiled))
	case "schema":
		if to != "" {
			return c.write(to, codegen.EditorSchema(compiled.Spec))
		}
		return c.write(filepath.Join(c.config.AppDir(), ".galley", "schema.json"),
			codegen.EditorSchema(compiled.Spec))
	case "go":
		text, err := codegen.Go(compiled.Spec, pkg)
		if err != nil {
			return err
		}
		if to == "" {
			to = filepath.Join(c.config.AppDir(), pkg, pkg+".go")
		}
		return c.write(to, text)
	case "proto":
		return c.genProto(compiled, to)
	case "openapi", "asyncapi":
		text := codegen.OpenAPI(compiled.Spec)
		if what == "asyncapi" {
			text = codegen.AsyncAPI(compiled.Spec)
		}
		if to != "" {
			return c.write(to, text)
		}
		_, err := c.out.Write(append(text, '\n'))
		return err
	}
	if near := value.Nearest(what, []string{"ts", "go", "openapi", "asyncapi", "proto", "schema"}); near != "" {
		return wrong("gen makes ts, go, openapi, asyncapi, proto or schema. Did you mean %s?", near)
	}
	return wrong("gen makes ts, go, openapi, asyncapi, proto or schema, not %q", what)
}

// writeFiles writes files below the app's folder.
func (c *command) writeFiles(files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if name == "tsconfig.json" && exists(filepath.Join(c.config.AppDir(), name)) {
			continue // it is the developer's own
		}
		if err := c.write(filepath.Join(c.config.AppDir(), filepath.FromSlash(name)), text); err != nil {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (c *command) write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	c.say("  %s %s", c.green("wrote"), path)
	return nil
}
