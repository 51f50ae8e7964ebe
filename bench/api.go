package main

import (
	"fmt"
	"strconv"
)

// api is how a target is asked: paths, and what stands before a token.
type api struct {
	product string
	list    string // with %d for the highest price
	total   string // the same list with a count of all that match
	note    string
	buy     string
	bearer  string
}

// head writes a request up to the end of its header. Without a token nobody is signed
// in; key is the idempotency key of a write and length the length of its body.
func (a *api) head(b []byte, method, host, token, key string, length int, path ...string) []byte {
	b = append(b, method...)
	b = append(b, ' ')
	for _, p := range path {
		b = append(b, p...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	if token != "" {
		b = append(b, "\r\nAuthorization: "...)
		b = append(b, a.bearer...)
		b = append(b, token...)
	}
	if key != "" {
		b = append(b, "\r\nIdempotency-Key: "...)
		b = append(b, key...)
	}
	if length > 0 {
		b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(length), 10)
	}
	return append(b, "\r\n\r\n"...)
}

func (a *api) get(b []byte, host, id, token string) []byte {
	return a.head(b, "GET", host, token, "", 0, a.product, id)
}

func (a *api) find(b []byte, host, path string, price int64) []byte {
	return a.head(b, "GET", host, "", "", 0, fmt.Sprintf(path, price))
}

func (a *api) create(b []byte, host, token, key string) []byte {
	const before, after = `{"title":"Note `, `","body":"Something that came to mind."}`
	b = a.head(b, "POST", host, token, key, len(before)+len(key)+len(after), a.note)
	b = append(b, before...)
	b = append(b, key...)
	return append(b, after...)
}

func (a *api) checkout(b []byte, host, token, key, product string) []byte {
	const before, after = `{"items":[{"product":"`, `","quantity":1}]}`
	b = a.head(b, "POST", host, token, key, len(before)+len(product)+len(after), a.buy)
	b = append(b, before...)
	b = append(b, product...)
	return append(b, after...)
}
