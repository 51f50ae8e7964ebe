// Package codegen makes files out of an app file for other tools: types for actions
// in TypeScript and Go, the OpenAPI document of what is open, and the editor's schema
// of the app file itself. The same spec always gives the same bytes. Where the files
// go, and when they are made, is left to others.
package codegen
