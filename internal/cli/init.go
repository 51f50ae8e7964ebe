package cli

import (
	"bytes"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/examples"
	"github.com/galleybackend/galley/internal/value"
)

//go:embed agents.md
var agents []byte

// ignored is what an app keeps out of version control.
const ignored = "/.galley/\n/data/\nnode_modules/\n"

func (c *command) init() *cobra.Command {
	var template string
	cmd := &cobra.Command{
		Use: "init [dir]", Short: "Make a new app that runs", GroupID: groupWeek,
		Args: cobra.MaximumNArgs(1), SuggestFor: []string{"new", "create"},
		Example: "  galley init shop --template shop\n" +
			"  galley init notes --template empty",
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return c.runInit(dir, template)
		},
	}
	cmd.Flags().StringVar(&template, "template", "shop",
		"what to begin with: "+strings.Join(examples.Templates(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("template", // fails only for a flag that is not there
		func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return examples.Templates(), cobra.ShellCompDirectiveNoFileComp
		})
	return cmd
}

var (
	appLine   = regexp.MustCompile(`(?m)^app: .*$`)
	appNaming = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)
)

// appName is the name of the folder, or the template's where that cannot name an app.
func appName(dir, template string) string {
	if path, err := filepath.Abs(dir); err == nil && appNaming.MatchString(filepath.Base(path)) {
		return filepath.Base(path)
	}
	return template
}

func (c *command) runInit(dir, template string) error {
	files, ok := examples.Template(template)
	if !ok {
		if near := value.Nearest(template, examples.Templates()); near != "" {
			return wrong("there is no template %q. Did you mean %s?", template, near)
		}
		return wrong("there is no template %q; there are: %s", template,
			strings.Join(examples.Templates(), ", "))
	}
	if _, err := os.Stat(filepath.Join(dir, "galley.yaml")); err == nil {
		return fmt.Errorf("%s is an app already; nothing was changed. Choose another folder",
			filepath.Join(dir, "galley.yaml"))
	}
	write := func(name string, text []byte) error {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err // also where a file of that name is: nothing is overwritten
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
		lines := bytes.Count(text, []byte("\n"))
		c.say("  %s %s  %s", c.green("created"), to, c.dim(plural(lines, "line")))
		return f.Close()
	}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if name == "galley.yaml" {
			text = appLine.ReplaceAll(text, []byte("app: "+appName(dir, template)))
		}
		return write(name, text)
	})
	if err != nil {
		return err
	}
	if err := write("AGENTS.md", agents); err != nil {
		return err
	}
	if err := write(".gitignore", []byte(ignored)); err != nil {
		return err
	}
	if dir == "." {
		c.say("\nNext:  galley dev")
	} else {
		c.say("\nNext:  cd %s && galley dev", dir)
	}
	return nil
}
