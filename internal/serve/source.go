package serve

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
)

// sourceMax bounds the files of an app that are kept in its database, in bytes.
const sourceMax = 16 << 20

// sources is a file system that notes what is read of it: the files that an app is
// compiled of, and no others.
type sources struct {
	fs.FS
	mu    sync.Mutex
	texts map[string][]byte
}

// Open implements fs.FS. A file is read whole, so that what is noted is what was seen.
func (s *sources) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return f, nil // who reads it hears what is wrong with it
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, sourceMax+1))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[name] = text
	return &sourceFile{bytes.NewReader(text), info}, nil
}

// Stat implements fs.StatFS: who looks whether a file is there does not read it.
func (s *sources) Stat(name string) (fs.FileInfo, error) { return fs.Stat(s.FS, name) }

// sourceFile is a file that was read.
type sourceFile struct {
	*bytes.Reader
	info fs.FileInfo
}

// Stat implements fs.File.
func (f *sourceFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements fs.File.
func (f *sourceFile) Close() error { return nil }

// archive is the files that an app was compiled of.
type archive struct {
	hash string
	zip  []byte
}

// pack returns what was read. The folder of the site is in it by its name alone: its
// files are each node's own.
func (s *sources) pack(site string) (archive, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out bytes.Buffer
	sum, size := sha256.New(), 0
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(s.texts)) {
		text := s.texts[name]
		if size += len(text); size > sourceMax {
			return archive{}, fmt.Errorf("the files of this app have more than %d MB",
				sourceMax>>20)
		}
		fmt.Fprintf(sum, "%q %d\n", name, len(text))
		sum.Write(text)
		f, err := w.Create(name)
		if err != nil {
			return archive{}, err
		}
		if _, err := f.Write(text); err != nil {
			return archive{}, err
		}
	}
	if site != "" {
		if _, err := w.Create(site + "/"); err != nil {
			return archive{}, err
		}
	}
	if err := w.Close(); err != nil {
		return archive{}, err
	}
	return archive{hex.EncodeToString(sum.Sum(nil)[:16]), out.Bytes()}, nil
}

// unpack returns the files of an archive.
func unpack(text []byte) (fs.FS, error) {
	return zip.NewReader(bytes.NewReader(text), int64(len(text)))
}
