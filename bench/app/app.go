// Package app holds the app file of the benchmark for programs with actions of their
// own: without the action in TypeScript that lies beside it.
package app

import "embed"

// Files holds galley.yaml.
//
//go:embed galley.yaml
var Files embed.FS
