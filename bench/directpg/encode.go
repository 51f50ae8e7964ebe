package main

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// append writes a product by hand, as the yardstick on SQLite does.
func (p *product) append(b []byte) []byte {
	b = appendTimes(append(append(b, `{"id":"`...), p.ID...), p.Created, p.Updated)
	b = strconv.AppendInt(append(b, `,"version":`...), p.Version, 10)
	b = appendQuoted(append(b, `,"name":`...), p.Name)
	if p.About != nil {
		b = appendQuoted(append(b, `,"about":`...), *p.About)
	}
	b = strconv.AppendInt(append(b, `,"price":`...), p.Price, 10)
	b = strconv.AppendInt(append(b, `,"stock":`...), p.Stock, 10)
	b = strconv.AppendBool(append(b, `,"listed":`...), p.Listed)
	return append(b, '}')
}

// appendTimes closes an id and writes when a record was made and changed.
func appendTimes(b []byte, created, updated time.Time) []byte {
	b = created.UTC().AppendFormat(append(b, `","created":"`...), timeStyle)
	b = updated.UTC().AppendFormat(append(b, `","updated":"`...), timeStyle)
	return append(b, '"')
}

// appendQuoted writes a JSON string; text without anything to escape takes the short way.
func appendQuoted(b []byte, text string) []byte {
	for _, c := range []byte(text) {
		if c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			quoted, err := jsontext.AppendQuote(b, text)
			if err != nil {
				return append(b, `"\ufffd"`...) // stored text is valid UTF-8: never
			}
			return quoted
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
