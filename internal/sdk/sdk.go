// Package sdk is the client of TypeScript as pages load it: one module without
// dependencies, and its types. It promises that what it holds was built from the sources
// beside it, and that it is less than 10 KB compressed. Who serves it, and what the types
// say of one app, is left to others.
package sdk

import _ "embed"

//go:generate go run ../do sdk -dir .

//go:embed client/galley.js
var script []byte

//go:embed client/galley.d.ts
var types []byte

// Script returns the client as a module of JavaScript. Nobody may change it.
func Script() []byte { return script }

// Types returns the types of the client for any app, as a module of TypeScript. Nobody
// may change them.
func Types() []byte { return types }
