package main

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"

	"github.com/galleybackend/galley/internal/ident"
)

// districts is how many districts the one warehouse has.
const districts = 10

// scale is the size of the one warehouse.
type scale struct {
	// Items is how many things are sold, Customers how many people and first orders
	// a district has.
	Items, Customers int
}

// scaleFull is what the specification asks for; scaleSmall is for tests.
var (
	scaleFull  = scale{Items: 100_000, Customers: 3_000}
	scaleSmall = scale{Items: 500, Customers: 60}
)

// delivered is how many of the first orders of a district are delivered: 2,100 of 3,000.
func (s scale) delivered() int { return s.Customers * 7 / 10 }

// names is how many last names are borne in a district.
func (s scale) names() int { return min(s.Customers, 1000) }

// kind is a table, as far as ids need to know it.
type kind byte

const (
	kindWarehouse kind = 1 + iota
	kindDistrict
	kindCustomer
	kindHistory
	kindItem
	kindStock
	kindOrder
	kindNewOrder
	kindLine
)

// idOf is the id of a record that the loader makes: of the line-th line of a number in
// a district. Terminals know records by it, as a client knows those that it has read.
func idOf(k kind, district, number, line int) string {
	b := [16]byte{0x01, 0x9a, 6: 0x70, 7: byte(k), 8: 0x80, 9: byte(district)}
	binary.BigEndian.PutUint32(b[10:], uint32(number))
	binary.BigEndian.PutUint16(b[14:], uint16(line))
	return string(ident.FromBytes(b))
}

func warehouseID() string        { return idOf(kindWarehouse, 0, 1, 0) }
func districtID(d int) string    { return idOf(kindDistrict, d, 0, 0) }
func customerID(d, c int) string { return idOf(kindCustomer, d, c, 0) }
func itemID(i int) string        { return idOf(kindItem, 0, i, 0) }
func stockID(i int) string       { return idOf(kindStock, 0, i, 0) }
func orderID(d, o int) string    { return idOf(kindOrder, d, o, 0) }

// chance draws what the specification leaves to chance.
type chance struct{ *rand.Rand }

func newChance(seed, n uint64) chance { return chance{rand.New(rand.NewPCG(seed, n))} }

// between draws a number from low to high.
func (c chance) between(low, high int) int { return low + c.IntN(high-low+1) }

// The constants C of the uneven draws: one for loading and one for running, as far
// apart as the specification wants.
const (
	unevenLoad = 91
	unevenRun  = 173
	unevenID   = 519
	unevenItem = 4021
)

// uneven draws a number from low to high of which some come more often: NURand.
func (c chance) uneven(a, constant, low, high int) int {
	return ((c.between(0, a)|c.between(low, high))+constant)%(high-low+1) + low
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// text draws letters and figures, of a length from low to high.
func (c chance) text(low, high int) string {
	b := make([]byte, c.between(low, high))
	for i := range b {
		b[i] = letters[c.IntN(len(letters))]
	}
	return string(b)
}

func (c chance) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + c.IntN(10))
	}
	return string(b)
}

func (c chance) zip() string { return c.digits(4) + "11111" }

// data draws the text of an item, of which one in ten is an original.
func (c chance) data() string {
	s := c.text(26, 50)
	if c.IntN(10) > 0 {
		return s
	}
	const word = "ORIGINAL"
	at := c.IntN(len(s) - len(word) + 1)
	return s[:at] + word + s[at+len(word):]
}

// lastName is the name of a number from 0 to 999.
func lastName(n int) string {
	parts := strings.Fields("BAR OUGHT ABLE PRI PRES ESE ANTI CALLY ATION EING")
	return parts[n/100] + parts[n/10%10] + parts[n%10]
}
