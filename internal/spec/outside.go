package spec

import "strings"

// Webhook returns the named webhook, or nil.
func (s *Spec) Webhook(name string) *Webhook {
	for _, w := range s.Webhooks {
		if w.Name == name {
			return w
		}
	}
	return nil
}

// Delivery returns the named delivery, or nil.
func (s *Spec) Delivery(name string) *Delivery {
	for _, d := range s.Deliveries {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Proxy returns the named proxy, or nil.
func (s *Spec) Proxy(name string) *Proxy {
	for _, p := range s.Proxies {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Secret reports whether the app file names the secret.
func (s *Spec) Secret(name string) bool {
	for _, n := range s.Secrets {
		if n.Name == name {
			return true
		}
	}
	return false
}

// The values of Webhook.Verify.
const (
	VerifyStripe   = "stripe"
	VerifyGitHub   = "github"
	VerifyStandard = "standard"
	VerifyHMAC     = "hmac-sha256"
)

// The two places of Webhook.ID: a path in the body, or a header.
const (
	IDBody   = "body."
	IDHeader = "header."
)

// Expand replaces each ${NAME} in a text by its value, and returns the names in their
// order. One that has no end is left as it is.
func Expand(text string, value func(name string) string) (string, []string) {
	var out strings.Builder
	var names []string
	for {
		before, rest, found := strings.Cut(text, "${")
		name, after, ended := strings.Cut(rest, "}")
		if !found || !ended {
			out.WriteString(text)
			return out.String(), names
		}
		out.WriteString(before)
		out.WriteString(value(name))
		names = append(names, name)
		text = after
	}
}

// Match reports whether a path, cut into its segments, is one of the route's.
func (p ProxyRoute) Match(segments []string) bool {
	own := strings.Split(strings.TrimPrefix(p.Path, "/"), "/")
	if len(own) != len(segments) {
		return false
	}
	for i, s := range own {
		if !strings.HasPrefix(s, "{") && s != segments[i] || segments[i] == "" && s != "" {
			return false
		}
	}
	return true
}
