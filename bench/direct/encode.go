package main

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/ncruces/go-sqlite3"
)

// appendProduct writes a row of productColumns.
func appendProduct(b []byte, row *sqlite3.Stmt) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, row.ColumnRawText(0)...)
	b = append(b, `","created":"`...)
	b = append(b, row.ColumnRawText(1)...)
	b = append(b, `","updated":"`...)
	b = append(b, row.ColumnRawText(2)...)
	b = append(b, `","version":`...)
	b = strconv.AppendInt(b, row.ColumnInt64(3), 10)
	b = append(b, `,"name":`...)
	b = appendQuoted(b, row.ColumnRawText(4))
	if about := row.ColumnRawText(5); about != nil {
		b = append(b, `,"about":`...)
		b = appendQuoted(b, about)
	}
	b = append(b, `,"price":`...)
	b = strconv.AppendInt(b, row.ColumnInt64(6), 10)
	b = append(b, `,"stock":`...)
	b = strconv.AppendInt(b, row.ColumnInt64(7), 10)
	b = append(b, `,"listed":`...)
	b = strconv.AppendBool(b, row.ColumnInt64(8) != 0)
	return append(b, '}')
}

// appendQuoted writes a JSON string; text without anything to escape takes the short way.
func appendQuoted(b, text []byte) []byte {
	for _, c := range text {
		if c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			quoted, err := jsontext.AppendQuote(b, text)
			if err != nil {
				return append(b, `"\ufffd"`...) // stored text is valid UTF-8: never
			}
			return quoted
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}
