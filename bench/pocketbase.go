package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/galleybackend/galley/bench/process"
)

// preparePocketbase builds the module of bench/pocketbase, which stays out of
// Galley's own, and loads the fixture into it.
func preparePocketbase(ctx context.Context, b *bench, dir string) (command, error) {
	path := filepath.Join(b.dir, "bin", "pocketbase")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	build.Dir = "bench/pocketbase"
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return command{}, fmt.Errorf("build bench/pocketbase: %w\n%.800s", err, text)
	}
	_, err := process.Run(ctx, path, "load", dir, b.fixture.products, b.fixture.users)
	return command{path: path, args: []string{"serve", dir}}, err
}

func pocketbaseSums(ctx context.Context, _ *bench, t *target) (sums, error) {
	return commandSums(ctx, t.command.path, "sums", t.dir)
}
