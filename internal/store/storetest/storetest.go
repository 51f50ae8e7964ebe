// Package storetest is the suite that every store passes, whole: what package store
// promises, asked under concurrency, failure and repetition. It reports through an
// interface of its own, so that an operator's tool can run it on his database. It
// knows no database and leaves crashes of the process to those who can cause them.
package storetest
