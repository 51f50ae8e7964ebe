package rest

import (
	"net"
	"net/http"
	"strings"
	"time"
)

// The names of the session's cookie. The prefix makes browsers demand that it came
// over TLS, from this very host. A developer's own machine has no TLS, and there
// alone the plain name is used.
const (
	cookieName  = "__Host-galley"
	cookieLocal = "galley"
)

// cookieNameOf returns the name of the cookie at the request's host.
func cookieNameOf(r *http.Request) string {
	if r.TLS == nil && loopback(r.Host) {
		return cookieLocal
	}
	return cookieName
}

// nameOf is a host without its port and without brackets.
func nameOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// loopback reports whether the host is this machine by its name.
func loopback(host string) bool {
	name := nameOf(host)
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// homely reports whether the host is one that nobody else can give to his own page.
func homely(host string) bool {
	name := nameOf(host)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || net.ParseIP(name) != nil
}

// cookie returns the session in the cookie, "" if there is none.
func (x *exchange) cookie() string {
	lines := x.r.Header["Cookie"]
	if len(lines) == 0 {
		return ""
	}
	name := cookieNameOf(x.r)
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			k, v, _ := strings.Cut(strings.TrimLeft(part, " "), "=")
			if k == name && len(v) <= tokenMax {
				return v
			}
		}
	}
	return ""
}

// setCookie gives the browser a session; an empty token takes it away.
func (x *exchange) setCookie(token string, expires time.Time) {
	if x.by != nil {
		return // who asks by another wire has no cookies
	}
	c := http.Cookie{Name: cookieNameOf(x.r), Value: token, Path: "/", HttpOnly: true,
		SameSite: http.SameSiteLaxMode}
	c.Secure = c.Name == cookieName
	if token == "" {
		c.MaxAge = -1
	} else {
		c.Expires = expires
	}
	x.w.Header().Add("Set-Cookie", c.String())
}
