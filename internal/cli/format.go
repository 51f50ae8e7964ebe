package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

func (c *command) format() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "fmt", Short: "Put the app file into its usual form", GroupID: groupMore,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path := filepath.Join(c.config.AppDir(), "galley.yaml")
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			next, findings := appfile.Format(text)
			switch {
			case spec.Failed(findings):
				return c.opening(&serve.AppError{Findings: findings,
					Files: map[string][]byte{"galley.yaml": text}})
			case bytes.Equal(text, next):
				return nil
			case check:
				return fmt.Errorf("%s is not in its usual form:  galley fmt", path)
			}
			return c.write(path, next)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false,
		"change nothing, and fail if there is something to change")
	return cmd
}
