//go:build !faults

package faults

// kills is how often a server is killed, cuts how often a connection is cut in each
// way. More of both come with the tag faults.
const kills, cuts = 2, 2
