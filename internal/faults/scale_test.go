//go:build !faults

package faults

// kills is how often a server is killed, cuts how often a connection is cut in each
// way, changes how often a schema changes. More of each come with the tag faults.
const kills, cuts, changes = 2, 2, 8
