package appfile

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// urlMax bounds the URL of another server, in bytes.
const urlMax = 2000

// secret reads the name of a secret that the app file names at its top.
func (r *reader) secret(n *node, what string) spec.Name {
	text, ok := r.plain(n, what)
	if !ok {
		return spec.Name{}
	}
	if !r.spec.Secret(text) {
		var known []string
		for _, s := range r.spec.Secrets {
			known = append(known, s.Name)
		}
		help := "write secrets: [" + text + "] at the top; the value is never in the file"
		if !isSecret(text) {
			help = "name one that stands under secrets: at the top; the value is never in the file"
		}
		r.unknown(n, known, help, "%s names no secret of this app", what)
		return spec.Name{}
	}
	return nameOf(n)
}

// address reads the URL of another server; "" after telling. Other machines are asked
// by https alone, because what we send them is a secret or signed with one.
func (r *reader) address(n *node, what string, query bool) string {
	text, ok := r.plain(n, what)
	if !ok {
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case len(text) > urlMax:
		r.fail(n, "", "%s has at most %d bytes, this one %d", what, urlMax, len(text))
	case err != nil || u.Hostname() == "" || u.Opaque != "" || !printableURL(text):
		r.fail(n, "write it as https://api.example.com", "%q is no URL of a server", text)
	case u.User != nil:
		r.fail(n, "write a header with a secret: Authorization: Basic ${NAME}",
			"%s holds a user or a password", what)
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		r.fail(n, "remove what follows the #", "%s has a fragment, which is never sent", what)
	case (u.RawQuery != "" || u.ForceQuery) && !query:
		r.fail(n, "the caller's query is passed on; a key belongs in a header",
			"%s has a query", what)
	case strings.Contains(text, "${"):
		r.fail(n, "write the secret in a header", "%s cannot hold a secret", what)
	case u.Scheme == "https":
		return text
	case u.Scheme == "http" && thisMachine(u.Hostname()):
		return text
	case u.Scheme == "http":
		r.fail(n, "write https://; http:// is for servers on this machine, while developing",
			"%s is not encrypted", what)
	default:
		r.fail(n, "write it as https://api.example.com", "%s is a URL of https", what)
	}
	return ""
}

func printableURL(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '\\' || s[i] == '"' || s[i] == '<' || s[i] == '>' {
			return false
		}
	}
	return true
}

// thisMachine reports whether a host is the machine itself, by its name or address.
func thisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// isHeader reports whether a text can name a header.
func isHeader(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' ||
			c == '_' {
			continue
		}
		return false
	}
	return s != "" && len(s) <= nameMax
}
