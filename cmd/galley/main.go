// Command galley is a complete backend in one binary; see the package cli.
package main

import (
	"os"
	_ "time/tzdata"

	"github.com/galleybackend/galley/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.Program{})) }
