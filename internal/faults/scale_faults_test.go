//go:build faults

package faults

const kills, cuts = 5, 5
