package tsaction

import (
	_ "embed"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// webText makes what code knows from browsers: URL, Headers, Response, TextEncoder.
//
//go:embed web.js
var webText string

// webMax bounds a text or a body that one of these makes or reads, in bytes.
const webMax = 1 << 20

// webHost builds what web.js gets from us.
func (m *machine) webHost() *goja.Object {
	vm := m.vm
	host := vm.NewObject()
	for _, f := range []struct {
		name string
		call func(goja.FunctionCall) goja.Value
	}{
		{"encode", m.encode}, {"decode", m.decode}, {"atob", m.atob}, {"btoa", m.btoa},
		{"parseQuery", m.parseQuery}, {"writeQuery", m.writeQuery}, {"parseURL", m.parseURL},
	} {
		_ = host.Set(f.name, f.call) // a fresh object takes every name
	}
	return host
}

// little returns a text argument that is not longer than may be.
func (m *machine) little(v goja.Value, what string) string {
	text := v.String()
	if len(text) > webMax {
		m.tooLong(what, webMax)
	}
	return text
}

func (m *machine) encode(c goja.FunctionCall) goja.Value {
	return m.vm.ToValue(m.vm.NewArrayBuffer([]byte(m.little(c.Argument(0), "the text to encode"))))
}

func (m *machine) decode(c goja.FunctionCall) goja.Value {
	b, ok := bytesOf(c.Argument(0))
	if !ok {
		m.typeError("decode wants bytes, got %s", m.show(c.Argument(0)))
	}
	return m.vm.ToValue(textOf(b))
}

// textOf reads bytes as UTF-8; what is none becomes U+FFFD.
func textOf(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

// bytesOf returns the bytes of an ArrayBuffer.
func bytesOf(v goja.Value) ([]byte, bool) {
	if _, ok := v.(*goja.Object); !ok {
		return nil, false
	}
	b, ok := export(v).(goja.ArrayBuffer)
	if !ok {
		return nil, false
	}
	return b.Bytes(), true
}

func (m *machine) atob(c goja.FunctionCall) goja.Value {
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\n\f\r", r) {
			return -1
		}
		return r
	}, m.little(c.Argument(0), "the text for atob"))
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		m.typeError("atob wants base64")
	}
	out := make([]rune, len(b))
	for i, x := range b {
		out[i] = rune(x)
	}
	return m.vm.ToValue(string(out))
}

func (m *machine) btoa(c goja.FunctionCall) goja.Value {
	text := m.little(c.Argument(0), "the text for btoa")
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			m.typeError("btoa wants a text of characters up to U+00FF")
		}
		b = append(b, byte(r))
	}
	return m.vm.ToValue(base64.StdEncoding.EncodeToString(b))
}

// pairsMax bounds the pairs of a query.
const pairsMax = 10_000

func (m *machine) parseQuery(c goja.FunctionCall) goja.Value {
	text := m.little(c.Argument(0), "the query")
	var pairs []any
	for _, part := range strings.Split(text, "&") {
		if part == "" {
			continue
		}
		if len(pairs) >= pairsMax {
			m.tooLong("the query", pairsMax)
		}
		name, val, _ := strings.Cut(part, "=")
		pairs = append(pairs, m.vm.NewArray(unescape(name), unescape(val)))
	}
	return m.vm.NewArray(pairs...)
}

// unescape reads a part of a query; what is not escaped right stays as it is.
func unescape(text string) string {
	if out, err := url.QueryUnescape(text); err == nil {
		return textOf([]byte(out))
	}
	return text
}

func (m *machine) writeQuery(c goja.FunctionCall) goja.Value {
	list := c.Argument(0).ToObject(m.vm)
	var b strings.Builder
	for i := range int(list.Get("length").ToInteger()) {
		pair := list.Get(strconv.Itoa(i)).ToObject(m.vm)
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(pair.Get("0").String()) + "=" +
			url.QueryEscape(pair.Get("1").String()))
		if b.Len() > webMax {
			m.tooLong("the query", webMax)
		}
	}
	return m.vm.ToValue(b.String())
}

// parseURL returns the parts of an address, or null.
func (m *machine) parseURL(c goja.FunctionCall) goja.Value {
	u, err := url.Parse(strings.TrimSpace(m.little(c.Argument(0), "the address")))
	if err != nil {
		return goja.Null()
	}
	if base := m.little(c.Argument(1), "the address"); base != "" {
		from, err := url.Parse(strings.TrimSpace(base))
		if err != nil {
			return goja.Null()
		}
		u = from.ResolveReference(u)
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return goja.Null()
	}
	port := u.Port()
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u.Host = host
	if port != "" {
		u.Host += ":" + port
	}
	if u.Path == "" {
		u.Path = "/"
	}
	password, _ := u.User.Password()
	o := m.vm.NewObject()
	part := func(name, text string) { _ = o.Set(name, text) } // a fresh object takes every name
	part("href", u.String())
	part("protocol", u.Scheme+":")
	part("username", u.User.Username())
	part("password", password)
	part("hostname", host)
	part("port", port)
	part("pathname", u.EscapedPath())
	part("search", prefixed("?", u.RawQuery))
	part("hash", prefixed("#", u.EscapedFragment()))
	return o
}

func prefixed(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + text
}
