package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

func (c *command) secrets() *cobra.Command {
	cmd := &cobra.Command{
		Use: "secrets", Short: "Values for the secrets that the app file names", GroupID: groupMore,
		Long: "A value comes from the environment variable of the secret's name, or else from\n" +
			config.SecretsFile + " beside the app file, which is encrypted and can be committed.\n" +
			"Its key is in " + config.SecretsKeyEnv + " or in a file of this machine, and never in the app's folder.",
		Example: "  galley secrets set STRIPE_KEY < key.txt",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args:    noCommand,
	}
	cmd.AddCommand(
		c.completes(&cobra.Command{Use: "set <name>",
			Short: "Seal a value, read from the terminal or from stdin", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return c.setSecret(args[0]) }}, secretNames),
		&cobra.Command{Use: "list", Short: "The names, and where each value comes from",
			Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return c.listSecrets() }},
		c.completes(&cobra.Command{Use: "unset <name>", Aliases: []string{"rm"},
			Short: "Take a value out of " + config.SecretsFile, Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return c.unsetSecret(args[0]) }}, secretNames),
		&cobra.Command{Use: "rotate-key", Short: "Seal all values for a new key",
			Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return c.rotateSecrets() }},
	)
	return cmd
}

// vault opens the app's file of secrets.
func (c *command) vault() (*config.Vault, *spec.Spec, error) {
	s, err := c.named()
	if err != nil {
		return nil, nil, err
	}
	v, err := config.OpenVault(c.config.AppDir(), s.App)
	return v, s, err
}

// named reads the app file for its name and its secrets, whatever else is wrong with it.
func (c *command) named() (*spec.Spec, error) {
	s, findings := appfile.Load(c.config.AppDir())
	if s.App != "" {
		return s, nil
	}
	for _, f := range findings {
		return nil, fmt.Errorf("%s: %s", f.Pos.File, f.Message)
	}
	return nil, errors.New("the app has no name")
}

func (c *command) setSecret(name string) error {
	v, s, err := c.vault()
	if err != nil {
		return err
	}
	if !s.Secret(name) {
		c.say("  %s is not among the secrets of %s yet: add it there", name, appfile.Name)
	}
	text, err := c.readSecret(name)
	if err != nil {
		return err
	}
	if why := config.WeakSecret(text); why != "" {
		return fmt.Errorf("%s %s", name, why)
	}
	v.Values[name] = text
	if err := v.Save(); err != nil {
		return err
	}
	if v.Made {
		path, err := config.SecretsKeyFile(v.App)
		if err != nil {
			return err
		}
		c.say("  A key was made: %s. Keep a copy of it in a safe place; a server\n"+
			"  gets it as %s.", path, config.SecretsKeyEnv)
	}
	if os.Getenv(name) != "" {
		c.say("  The environment has a value for %s too, and goes first.", name)
	}
	c.say("  %s  %s is sealed in %s, which can be committed. Servers use it when they start.",
		c.green("set"), name, config.SecretsFile)
	return nil
}

// readSecret reads a value from the terminal, where it is not shown, or from a pipe.
func (c *command) readSecret(name string) (string, error) {
	f, ok := c.in.(*os.File)
	if info, err := statOf(f); !ok || err != nil || info.Mode()&os.ModeCharDevice == 0 {
		text, err := io.ReadAll(io.LimitReader(c.in, config.SecretMax+2))
		line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		return line, err
	}
	quiet := exec.Command("stty", "-echo")
	quiet.Stdin = f
	if err := quiet.Run(); err != nil {
		return "", fmt.Errorf("this terminal would show the value; give it so:  "+
			"galley secrets set %s < FILE", name)
	}
	defer func() {
		loud := exec.Command("stty", "echo")
		loud.Stdin = f
		_ = loud.Run() // the terminal is gone, and nothing is to be shown on it
	}()
	fmt.Fprint(c.err, "Value (not shown): ")
	line, err := bufio.NewReader(f).ReadString('\n')
	c.say("")
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func statOf(f *os.File) (os.FileInfo, error) {
	if f == nil {
		return nil, os.ErrInvalid
	}
	return f.Stat()
}

// secretLine is what is told of a secret: never its value.
type secretLine struct {
	Name string `json:"name"`
	// From is environment, file, dev where only galley dev has a value, or "" where there
	// is none.
	From string `json:"from"`
	// Named reports that the app file names it.
	Named bool `json:"named"`
}

func (c *command) listSecrets() error {
	v, s, err := c.vault()
	if err != nil && v == nil {
		// Without the key it can still be told what the environment has.
		if s, err2 := c.named(); err2 == nil {
			c.say("  %v", err)
			return c.printSecrets(s, nil)
		}
	}
	if err != nil {
		return err
	}
	return c.printSecrets(s, v.Values)
}

func (c *command) printSecrets(s *spec.Spec, kept map[string]string) error {
	var lines []secretLine
	text, err := os.ReadFile(filepath.Join(c.config.AppDir(), config.DevSecretsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dev, err := config.DevValues(text)
	if err != nil {
		return err
	}
	for _, n := range s.Secrets {
		line := secretLine{Name: n.Name, Named: true}
		if _, found := dev[n.Name]; found {
			line.From = "dev"
		}
		if _, found := kept[n.Name]; found {
			line.From = "file"
		}
		if os.Getenv(n.Name) != "" {
			line.From = "environment"
		}
		lines = append(lines, line)
	}
	for name := range kept {
		if !s.Secret(name) {
			lines = append(lines, secretLine{Name: name, From: "file"})
		}
	}
	slices.SortFunc(lines, func(a, b secretLine) int { return strings.Compare(a.Name, b.Name) })
	for _, line := range lines {
		if c.json {
			if err := c.print(line); err != nil {
				return err
			}
			continue
		}
		from := map[string]string{"environment": "from the environment", "file": "from " + config.SecretsFile,
			"dev": "for galley dev alone, from " + config.DevSecretsFile,
			"":    c.red("has no value") + "   galley secrets set " + line.Name}[line.From]
		if !line.Named {
			from += c.dim("  (the app file does not name it)")
		}
		fmt.Fprintf(c.out, "%-28s %s\n", line.Name, from)
	}
	return nil
}

func (c *command) unsetSecret(name string) error {
	v, _, err := c.vault()
	if err != nil {
		return err
	}
	if _, found := v.Values[name]; !found {
		return fmt.Errorf("%s has no value for %s", config.SecretsFile, name)
	}
	delete(v.Values, name)
	if err := v.Save(); err != nil {
		return err
	}
	c.say("  %s  %s is no longer in %s. What was committed before still holds it: change the "+
		"value where it was made.", c.green("unset"), name, config.SecretsFile)
	return nil
}

func (c *command) rotateSecrets() error {
	v, _, err := c.vault()
	if err != nil {
		return err
	}
	if err := v.Rotate(); err != nil {
		return err
	}
	path, err := config.SecretsKeyFile(v.App)
	if err != nil {
		return err
	}
	c.say("  %s  %s sealed for the key in %s.\n  Give it to the servers as %s, "+
		"before the new %s or with it.", c.green("rotated"), plural(len(v.Values), "value"), path,
		config.SecretsKeyEnv, config.SecretsFile)
	return nil
}
