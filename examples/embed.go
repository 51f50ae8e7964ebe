// Package examples embeds the example apps that `galley init` copies. Each of them
// is an app that runs, and what is embedded is what the tests run.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed empty/galley.yaml
//go:embed shop/galley.yaml shop/secrets.dev shop/tsconfig.json
//go:embed shop/actions shop/jobs shop/webhooks shop/lib shop/emails shop/tests
//go:embed shop/public shop/seed shop/provider/README.md shop/provider/main.go
//go:embed shop/provider/provider.go shop/provider/hooks.go
//go:embed social/galley.yaml social/actions social/hooks social/emails social/tests
//go:embed social/public social/seed
//go:embed newsletter/galley.yaml newsletter/secrets.dev newsletter/actions newsletter/jobs
//go:embed newsletter/emails newsletter/tests newsletter/public newsletter/seed
//go:embed kanban/galley.yaml kanban/actions kanban/hooks kanban/lib kanban/tests
//go:embed kanban/public kanban/seed kanban/README.md
//go:embed chat/galley.yaml chat/hooks chat/tests chat/public chat/seed chat/README.md
//go:embed flights/galley.yaml flights/actions flights/hooks flights/jobs flights/lib
//go:embed flights/emails flights/tests flights/public flights/seed flights/README.md
//go:embed blog/galley.yaml blog/secrets.dev blog/lib.ts blog/routes blog/tests
var files embed.FS

// Template returns the files of the named example, or false.
func Template(name string) (fs.FS, bool) {
	if _, err := fs.Stat(files, name+"/galley.yaml"); err != nil {
		return nil, false
	}
	sub, err := fs.Sub(files, name)
	return sub, err == nil
}

// Templates lists the examples, the one to begin with first.
func Templates() []string {
	return []string{"shop", "social", "kanban", "chat", "flights", "newsletter", "blog", "empty"}
}
