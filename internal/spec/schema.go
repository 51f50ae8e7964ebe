package spec

import "github.com/galleybackend/galley/internal/value"

// Schema is the part of a spec that a store keeps: which records there are, and what
// app they belong to. Its JSON form is canonical, so that two schemas are the same if
// their JSON is.
type Schema struct {
	Collections []*Table `json:"collections"`
	// App is the app in force, which a store keeps and does not read; nil where none
	// was named.
	App *Deploy `json:"app,omitempty"`
}

// Deploy is an app that was put in force: the files that it was compiled of, so that
// every process on the database can compile it.
type Deploy struct {
	// Number counts the deploys of a database, from 1.
	Number int `json:"number"`
	// Hash names the files by what they hold.
	Hash string `json:"hash"`
	// Past holds the hashes of the apps that this one superseded, the last at the end.
	Past []string `json:"past,omitempty"`
	// Files is a zip archive.
	Files []byte `json:"files"`
}

// Same reports whether two deploys are of the same files, nil being none.
func (d *Deploy) Same(other *Deploy) bool {
	if d == nil || other == nil {
		return d == other
	}
	return d.Hash == other.Hash
}

// Table is a collection as the store sees it.
type Table struct {
	Name string `json:"name"`
	// Shape has the system fields first, then the declared ones in their order.
	Shape *value.Shape `json:"shape"`
	// Defaults holds, by field, what fills existing records when it is added.
	Defaults map[string]string `json:"defaults,omitempty"`
	Unique   [][]string        `json:"unique,omitempty"`
	Index    [][]Key           `json:"index,omitempty"`
	// OnDelete holds, by relation field, what becomes of the record.
	OnDelete map[string]string `json:"on_delete,omitempty"`
	Quiet    bool              `json:"quiet,omitempty"`
	// Checks holds the source of each check, by its name, with the named rules that
	// it uses: what the stored records were judged by.
	Checks map[string]string `json:"checks,omitempty"`
}

// Key is one field of an index.
type Key struct {
	Field string `json:"field"`
	Desc  bool   `json:"desc,omitempty"`
}

// Table returns the named table, or nil.
func (s *Schema) Table(name string) *Table {
	if s == nil {
		return nil
	}
	for _, t := range s.Collections {
		if t.Name == name {
			return t
		}
	}
	return nil
}
