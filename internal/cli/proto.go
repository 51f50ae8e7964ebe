package cli

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/serve"
)

// genProto writes the .proto files of an app below a folder, and the file that keeps the
// numbers of their fields. It says what clients made of earlier ones will miss.
func (c *command) genProto(compiled serve.Compiled, to string) error {
	p, err := compiled.Proto()
	if err != nil {
		return err
	}
	if to == "" {
		to = filepath.Join(c.config.AppDir(), "proto")
	}
	files := p.Files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(to, filepath.FromSlash(name))
		if name == codegen.ProtoBufFile && exists(path) {
			continue // it is the developer's own
		}
		if err := c.write(path, files[name]); err != nil {
			return err
		}
	}
	if err := c.lock(p, true); err != nil {
		return err
	}
	for _, b := range p.Breaks() {
		c.say("  %s", b.Text)
	}
	return nil
}

// lock writes the file that keeps the numbers of protobuf's fields, where they are others.
func (c *command) lock(p *codegen.Proto, say bool) error {
	path := filepath.Join(c.config.AppDir(), codegen.LockFile)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, p.Lock()) {
		return nil
	}
	if say {
		return c.write(path, p.Lock())
	}
	return os.WriteFile(path, p.Lock(), 0o644)
}

// keepNumbers writes what an app adds to the numbers of protobuf's fields, before the app
// is opened or read again: they belong to what is put in force. Whatever is wrong with the
// app is told by those who read it then.
func (c *command) keepNumbers() error {
	if c.program.Files != nil {
		return nil // an embedded app has no folder
	}
	compiled := serve.CompileDeclared(c.serveConfig())
	if compiled.App == nil {
		return nil
	}
	p, err := compiled.Proto()
	if err != nil {
		return nil // a finding, of who reads the app
	}
	for _, b := range p.Breaks() {
		c.line("%s", b.Text)
	}
	return c.lock(p, false)
}
