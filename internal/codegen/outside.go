package codegen

import (
	"fmt"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// secret completes the names of the app's secrets.
func (e *editor) secret(about string) object {
	names := []string{}
	for _, n := range e.spec.Secrets {
		names = append(names, n.Name)
	}
	t := e.text(about)
	t["anyOf"] = []object{{"enum": names}, {"type": "string"}}
	return t
}

// webhook is a verified call from outside.
func (e *editor) webhook() object {
	return e.closed(object{
		"verify": object{"enum": []string{spec.VerifyStripe, spec.VerifyGitHub, spec.VerifyStandard,
			spec.VerifyHMAC}, "description": "How the sender signs."},
		"header": e.text("For hmac-sha256: the header of the signature."),
		"secret": e.secret("The secret that the sender signs with."),
		"id":     e.text("What tells a call from its repetition: body.id, or header.X-Event-Id."),
	})
}

// delivery is a signed call to somebody else's hook.
func (e *editor) delivery() object {
	return e.closed(object{
		"on":     e.trigger(),
		"if":     e.rule("Narrows on: CEL over record and before."),
		"to":     e.text("The hook's address, such as https://partner.example/hooks."),
		"secret": e.secret("The secret that we sign with."),
		"retry": object{"type": []string{"integer", "string"},
			"description": "How often it is tried again, 12 times by default."},
	})
}

// proxy is what callers may ask of another server.
func (e *editor) proxy() object {
	return e.closed(object{
		"url":     e.text("The server, such as https://api.example.com/v2."),
		"routes":  e.list(object{"type": "string"}, "What may be asked for, such as GET /rates."),
		"headers": e.open(object{"type": "string"}, "Headers that we add; ${NAME} in one is a secret."),
		"allow":   e.rule("Who may ask."),
		"cache":   e.text("How long what GET answers is kept for everybody, such as 10m."),
		"rate":    e.text("How often each caller may ask, such as 30/min."),
		"timeout": e.text("How long the other side may take, 10s by default."),
	})
}

// proxies adds what callers may ask of other servers. What is answered there is not ours
// to describe.
func (d *openAPI) proxies() {
	for i, p := range d.spec.Proxies {
		if i == 0 {
			d.tag("proxy", "Other servers, asked by this one.")
		}
		for n, r := range p.Routes {
			d.passed(p, r, n)
		}
	}
}

func (d *openAPI) passed(p *spec.Proxy, r spec.ProxyRoute, n int) {
	o := operation{id: fmt.Sprintf("proxy_%s_%d", p.Name, n+1), tag: "proxy",
		summary:     title(p.Doc, p.Name+": "+r.Method+" "+r.Path),
		description: p.Doc, problems: []string{"400", "401", "403", "404", "413", "502", "504"}}
	answered := object{"description": "The other side's answer. Its own refusals have their own statuses.",
		"headers": object{"Request-Id": ref("headers", "Request-Id")},
		"content": object{"*/*": object{"schema": object{}}}}
	o.answers = object{"2XX": answered}
	for s := range strings.SplitSeq(strings.TrimPrefix(r.Path, "/"), "/") {
		if name, found := strings.CutPrefix(s, "{"); found {
			o.parameters = append(o.parameters, object{"name": strings.TrimSuffix(name, "}"), "in": "path",
				"required": true, "description": "A part of the other side's address.",
				"schema": object{"type": "string"}})
		}
	}
	if r.Method != "GET" && r.Method != "DELETE" {
		o.body = object{"required": false, "content": object{"*/*": object{"schema": object{}}}}
	}
	d.add(strings.ToLower(r.Method), "/api/proxy/"+p.Name+strings.TrimSuffix(r.Path, "/"), o)
}
