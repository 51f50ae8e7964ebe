// Package appfile reads the text of an app file, galley.yaml and what it includes,
// into a spec.Spec. It accepts a strict subset of YAML, tells everything that is
// wrong at once, each at its line and column, and writes findings for people and for
// programs. It knows the form of a file; whether its rules compile is asked in rule,
// and whether its actions have code in app.
package appfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/spec"
)

// Name is the name of the app file in its folder.
const Name = "galley.yaml"

// The bounds of an app file. An error names the one that is broken.
const (
	fileMax       = 256 << 10
	linesMax      = 5000
	filesMax      = 64
	depthMax      = 16
	findingsMax   = 100
	nameMax       = 60
	ruleMax       = 4096
	patternMax    = 500
	sentenceMax   = 500
	wordsMax      = 200
	collectionMax = 200
	fieldMax      = 200
	actionMax     = 500
	setMax        = 32
	listMax       = 10_000
	textMax       = 1 << 20
	refusalMax    = 1000
)

// Load reads DIR/galley.yaml and what it includes. It returns all findings in the
// order of their places; the spec, which is never nil, is whole only if none of them
// is an error (spec.Failed). File names in places are relative to dir.
func Load(dir string) (*spec.Spec, []spec.Finding) {
	s, findings := LoadFS(os.DirFS(dir))
	s.Dir = dir
	return s, findings
}

// LoadFS is Load for an app that lies in a file system, such as an embedded one. The
// spec's Dir is "".
func LoadFS(fsys fs.FS) (*spec.Spec, []spec.Finding) {
	return load(source{
		read: func(name string) ([]byte, error) { return readBounded(fsys, name) },
		glob: func(pattern string) ([]string, error) { return fs.Glob(fsys, pattern) },
		folder: func(name string) bool {
			info, err := fs.Stat(fsys, name)
			return err == nil && info.IsDir()
		},
	})
}

// Parse is Load for texts by their names, which use slashes; one of them is
// galley.yaml. A folder exists if one of the files lies in it.
func Parse(files map[string][]byte) (*spec.Spec, []spec.Finding) {
	names := slices.Sorted(maps.Keys(files))
	return load(source{
		read: func(name string) ([]byte, error) {
			text, ok := files[name]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return text, nil
		},
		glob: func(pattern string) ([]string, error) {
			var found []string
			for _, name := range names {
				ok, err := path.Match(pattern, name)
				if err != nil {
					return nil, err
				}
				if ok {
					found = append(found, name)
				}
			}
			return found, nil
		},
		folder: func(name string) bool {
			return slices.ContainsFunc(names, func(file string) bool {
				return strings.HasPrefix(file, name+"/")
			})
		},
	})
}

// source is where texts come from.
type source struct {
	read   func(name string) ([]byte, error)
	glob   func(pattern string) ([]string, error)
	folder func(name string) bool
}

// readBounded reads at most one byte more than a file may have.
func readBounded(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, fileMax+1))
}

// load reads the app file, then what it includes, then means all of it together.
func load(src source) (*spec.Spec, []spec.Finding) {
	r := &reader{
		src: src,
		spec: &spec.Spec{Files: map[string][]byte{},
			Unread: spec.Unread{Names: map[string]bool{}}},
		files:   map[string]*file{},
		written: map[string]bool{},
		meant:   map[*spec.Field]bool{},
	}
	root, err := r.open(Name)
	if err != nil {
		r.findings = append(r.findings, spec.Finding{
			Pos:     spec.Pos{File: Name, Line: 1, Column: 1},
			Message: "there is no " + Name + " here",
			Help:    "galley init makes one",
		})
		if !errors.Is(err, fs.ErrNotExist) {
			r.findings[0].Message = Name + " cannot be read"
			r.findings[0].Help = err.Error()
		}
		return r.spec, r.findings
	}
	r.roots = append(r.roots, root)
	r.include(root)
	if !r.broken {
		r.app()
	}
	r.spec.Unread.All = r.spec.Unread.All || r.broken
	return r.spec, r.sorted()
}

// open reads and parses one file.
func (r *reader) open(name string) (*node, error) {
	text, err := r.src.read(name)
	if err != nil {
		return nil, err
	}
	r.spec.Files[name] = text
	f := newFile(name, text)
	r.files[name] = f
	if bad, ok := f.refuse(text); ok {
		r.broken = true
		r.findings = append(r.findings, bad)
		return &node{kind: empty, pos: f.clamp(1, 1)}, nil
	}
	tree, findings, whole := f.parse()
	r.findings = append(r.findings, findings...)
	r.broken = r.broken || !whole
	return tree, nil
}

// refuse looks for what no YAML reader should be asked.
func (f *file) refuse(text []byte) (spec.Finding, bool) {
	switch {
	case len(text) > fileMax:
		return spec.Finding{Pos: f.clamp(1, 1),
			Message: fmt.Sprintf("%s has more than %d KB", f.name, fileMax>>10),
			Help:    "spread it over several files with include: [collections/*.yaml]"}, true
	case len(f.lines) > linesMax:
		return spec.Finding{Pos: f.clamp(linesMax, 1),
			Message: fmt.Sprintf("%s has more than %d lines", f.name, linesMax),
			Help:    "spread it over several files with include: [collections/*.yaml]"}, true
	case !utf8.Valid(text):
		line := 1 + bytes.Count(text[:invalidAt(text)], []byte("\n"))
		return spec.Finding{Pos: f.clamp(line, 1), Message: "this line is not UTF-8",
			Help: "save the file as UTF-8"}, true
	}
	for i, line := range f.lines {
		for j, c := range line {
			if c < ' ' && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x2028 ||
				c == 0x2029 || c == 0xfeff {
				return spec.Finding{Pos: f.clamp(i+1, j+1),
					Message: fmt.Sprintf("a control character (U+%04X)", c),
					Help:    "remove it; quoted texts may hold it as an escape"}, true
			}
		}
	}
	return spec.Finding{}, false
}

// invalidAt returns the place of the first byte that is not UTF-8.
func invalidAt(text []byte) int {
	at := 0
	for at < len(text) {
		c, size := utf8.DecodeRune(text[at:])
		if c == utf8.RuneError && size <= 1 {
			break
		}
		at += size
	}
	return at
}

// include opens the files that the root names.
func (r *reader) include(root *node) {
	list := root.get("include")
	if list == nil {
		return
	}
	if list.kind != sequence {
		r.fail(list, "write include: [collections/*.yaml]", "include is a list of files")
		return
	}
	for _, item := range list.items {
		pattern := item.text
		if item.kind != scalar || !localPath(pattern) {
			r.fail(item, "name files below the app's folder, such as collections/*.yaml",
				"include cannot name this")
			continue
		}
		names, err := r.src.glob(pattern)
		if err != nil || len(names) == 0 {
			r.fail(item, "", "no file matches %s", pattern)
			continue
		}
		for _, name := range names {
			if r.files[name] != nil {
				continue
			}
			if len(r.files) >= filesMax {
				r.fail(item, "", "an app has at most %d files", filesMax)
				return
			}
			tree, err := r.open(name)
			if err != nil {
				r.fail(item, err.Error(), "%s cannot be read", name)
				continue
			}
			r.roots = append(r.roots, tree)
		}
	}
}

// localPath reports whether a path stays below the folder it starts in.
func localPath(name string) bool {
	return name != "" && fs.ValidPath(name) && !strings.Contains(name, "\\")
}

// sorted returns the findings by their places, each once, at most findingsMax.
func (r *reader) sorted() []spec.Finding {
	order := map[string]int{}
	for i, root := range r.roots {
		order[root.pos.File] = i
	}
	slices.SortStableFunc(r.findings, func(a, b spec.Finding) int {
		if a.Pos.File != b.Pos.File {
			return order[a.Pos.File] - order[b.Pos.File]
		}
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line - b.Pos.Line
		}
		return a.Pos.Column - b.Pos.Column
	})
	r.findings = slices.CompactFunc(r.findings, func(a, b spec.Finding) bool {
		return a.Pos == b.Pos && a.Message == b.Message
	})
	if len(r.findings) > findingsMax {
		more := len(r.findings) - findingsMax
		last := r.findings[findingsMax]
		r.findings = append(r.findings[:findingsMax:findingsMax], spec.Finding{
			Pos: last.Pos, Message: fmt.Sprintf("and %d more findings from here on", more)})
	}
	return r.findings
}
