//go:build faults

package faults

const kills, cuts, changes = 5, 5, 20
