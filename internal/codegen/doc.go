// Package codegen makes files out of an app file for other tools: types for actions
// in TypeScript and Go, the OpenAPI and AsyncAPI documents and the protobuf form of what
// is open, and the editor's schema of the app file itself. The same spec always gives the
// same bytes, and the numbers of protobuf are kept by a file. Where the files go, and when
// they are made, is left to others.
package codegen
