// Package transfer brings records in and takes them out, in files that other tools
// read: JSON Lines and CSV. What comes in goes through the engine like any other
// write, as an admin's: no allow binds it, every type and check does. It is resumable,
// because each group of lines has its own idempotency key, made of what it says.
package transfer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// Format is the form of a file.
type Format string

// The forms.
const (
	JSONLines Format = "jsonl"
	CSV       Format = "csv"
)

// lineMax is the greatest length of a line, in bytes.
const lineMax = 1 << 20

// line is one record of a file.
type line struct {
	// number is where it begins, from 1.
	number int
	body   []byte
	row    value.Record
	// id is its record's: its own, or one that is made of what it says.
	id     ident.Record
	issues []value.Issue
	err    error
}

// lines calls fn for each record of the file, until fn says no more. An error that
// ends the reading has the number of its line.
func lines(r io.Reader, format Format, shape *value.Shape, fn func(line) bool) error {
	if format == CSV {
		return csvLines(r, shape, fn)
	}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), lineMax)
	n := 0
	for s.Scan() {
		n++
		text := bytes.TrimSpace(s.Bytes())
		if n == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if len(text) == 0 {
			continue
		}
		l := line{number: n, body: bytes.Clone(text)}
		var syntax *value.SyntaxError
		l.row, l.issues, l.err = value.DecodeObject(l.body, shape, value.Decoding{})
		if l.err != nil && !errors.As(l.err, &syntax) {
			return fmt.Errorf("line %d: %w", n, l.err)
		}
		if !fn(l) {
			return nil
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d is longer than %d bytes", n+1, lineMax)
	}
	return s.Err()
}

// csvLines reads a table whose first row names the fields. An empty cell is a field
// that is not there.
func csvLines(r io.Reader, shape *value.Shape, fn func(line) bool) error {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	head, err := c.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("line 1: a CSV file begins with a row that names the fields")
	}
	if err != nil {
		return err
	}
	slots := make([]int, len(head))
	for i, name := range head {
		if i == 0 {
			name = string(bytes.TrimPrefix([]byte(name), []byte("\xef\xbb\xbf")))
		}
		slot, ok := shape.Index(name)
		if !ok {
			near := value.Nearest(name, shape.Names())
			if near != "" {
				near = " Did you mean " + near + "?"
			}
			return fmt.Errorf("line 1, column %d: there is no field %q.%s There are: %s",
				i+1, name, near, strings.Join(shape.Names(), " "))
		}
		slots[i] = slot
	}
	for {
		cells, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		number, _ := c.FieldPos(0)
		var parse *csv.ParseError
		switch {
		case errors.As(err, &parse):
			if !fn(line{number: parse.Line, err: parse.Err}) {
				return nil
			}
			continue
		case err != nil:
			return err
		}
		l := line{number: number}
		rec := value.NewRecord(shape)
		for i, cell := range cells {
			if cell == "" {
				continue
			}
			f := &shape.Fields()[slots[i]]
			v, issues := value.ParseText(&f.Type, cell, "#/"+f.Name)
			rec.Slots[slots[i]] = v
			l.issues = append(l.issues, issues...)
		}
		l.body = value.AppendRecord(nil, rec)
		if len(l.issues) == 0 {
			l.row, l.issues, l.err = value.DecodeObject(l.body, shape, value.Decoding{})
		}
		if !fn(l) {
			return nil
		}
	}
}
