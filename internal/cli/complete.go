package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// completes has the shell know what the first argument of a command may be, as far as the
// app file says it.
func (c *command) completes(cmd *cobra.Command, names func(*spec.Spec) []string) *cobra.Command {
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) (
		[]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		s, _ := c.readSpec() // of a broken file what can be read
		if s == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all := names(s)
		slices.Sort(all)
		return all, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// readSpec reads the app file, and nothing else of the app.
func (c *command) readSpec() (*spec.Spec, []spec.Finding) {
	if c.program.Files != nil {
		return appfile.LoadFS(c.program.Files)
	}
	return appfile.Load(c.config.AppDir())
}

func collectionNames(s *spec.Spec) (all []string) {
	for _, x := range s.Collections {
		all = append(all, x.Name)
	}
	return all
}

// readNames are those of collections and of views.
func readNames(s *spec.Spec) []string {
	all := collectionNames(s)
	for _, x := range s.Views {
		all = append(all, x.Name)
	}
	return all
}

// exportNames are those of collections, and the journal.
func exportNames(s *spec.Spec) []string { return append(collectionNames(s), "journal") }

func actionNames(s *spec.Spec) (all []string) {
	for _, x := range s.Actions {
		all = append(all, x.Name)
	}
	return all
}

func secretNames(s *spec.Spec) (all []string) {
	for _, x := range s.Secrets {
		all = append(all, x.Name)
	}
	return all
}
