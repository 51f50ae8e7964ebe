package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// cellMax is the greatest width of a cell in a table, in characters.
const cellMax = 48

// pairs reads a JSON object with its fields in their order.
func pairs(text []byte) (names []string, values []json.RawMessage, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, nil, err
		}
		names, values = append(names, fmt.Sprint(name)), append(values, v)
	}
	return names, values, nil
}

// plain is a value as a person reads it: text without quotes, no line breaks.
func plain(v json.RawMessage) string {
	s := string(v)
	if s == "null" {
		return "–"
	}
	if strings.HasPrefix(s, `"`) {
		_ = json.Unmarshal(v, &s) // it was read as JSON before
	}
	return strings.NewReplacer("\n", " ", "\t", " ", "\r", " ").Replace(s)
}

func clip(s string) string {
	if r := []rune(s); len(r) > cellMax {
		return string(r[:cellMax-1]) + "…"
	}
	return s
}

func (c *command) table(items []json.RawMessage) error {
	if len(items) == 0 {
		c.say("none")
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for i, item := range items {
		names, values, err := pairs(item)
		if err != nil {
			return err
		}
		if i == 0 {
			fmt.Fprintln(w, strings.Join(names, "\t"))
		}
		cells := make([]string, len(values))
		for j, v := range values {
			cells[j] = clip(plain(v))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// fields prints one record, a field a line.
func (c *command) fields(text []byte) error {
	names, values, err := pairs(text)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for i, name := range names {
		fmt.Fprintf(w, "%s\t%s\n", name, plain(values[i]))
	}
	return w.Flush()
}
