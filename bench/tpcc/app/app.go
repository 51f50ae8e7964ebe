// Package app holds the app file of TPC-C for programs with actions of their own:
// without the actions in TypeScript that lie beside it.
package app

import "embed"

// Files holds galley.yaml.
//
//go:embed galley.yaml
var Files embed.FS
