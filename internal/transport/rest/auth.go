package rest

import (
	"context"
	"net/http"
	"strings"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// signIn is an address below /api/auth/ with the built-in action behind it.
type signIn struct {
	path   string
	method transport.Methods
	action string
	reads  bool
	// stranger is asked without the caller's old session, which may have ended.
	stranger bool
	// opens starts a session, ends ends the caller's.
	opens, ends bool
	status      int
}

// signIns is the table of section "Sign-in". A path that ends in / takes an id.
var signIns = [...]signIn{
	{path: "sign-up", method: transport.MethodPost, action: "auth/sign-up",
		stranger: true, opens: true, status: http.StatusCreated},
	{path: "sign-in", method: transport.MethodPost, action: "auth/sign-in",
		stranger: true, opens: true, status: http.StatusOK},
	{path: "refresh", method: transport.MethodPost, action: "auth/refresh",
		stranger: true, opens: true, status: http.StatusOK},
	{path: "sign-out", method: transport.MethodPost, action: "auth/sign-out", ends: true},
	{path: "session", method: transport.MethodGet, action: "auth/session", reads: true},
	{path: "sessions", method: transport.MethodGet, action: "auth/sessions", reads: true},
	{path: "sessions/", method: transport.MethodDelete, action: "auth/sessions/end"},
	{path: "password", method: transport.MethodPut, action: "auth/password"},
	{path: "account", method: transport.MethodDelete, action: "auth/account/delete", ends: true},
}

// findSignIn returns the row of a path and the id in it.
func findSignIn(path string) (*signIn, string) {
	for i := range signIns {
		s := &signIns[i]
		rest, ok := strings.CutPrefix(path, s.path)
		switch {
		case ok && rest == "":
			if strings.HasSuffix(s.path, "/") {
				return nil, ""
			}
			return s, ""
		case ok && strings.HasSuffix(s.path, "/") && strings.IndexByte(rest, '/') < 0:
			return s, rest
		}
	}
	return nil, ""
}

func authMethods(path string) transport.Methods {
	if s, _ := findSignIn(path); s != nil {
		return s.method
	}
	return 0
}

// auth asks a built-in action of sign-in.
func (d *Door) auth(ctx context.Context, x *exchange, path string, m transport.Methods) error {
	s, id := findSignIn(path)
	if s.opens && x.by != nil {
		return fault.New(fault.Malformed,
			"Sessions begin over HTTP; a socket is told of one with auth.")
	}
	call, err := x.call()
	if err != nil {
		return err
	}
	if err := noParams(x.r); err != nil {
		return err
	}
	if s.stranger {
		call.Credential, x.byCookie = "", false
	}
	call.Verb, call.Target = engine.Action, s.action
	switch {
	case m == transport.MethodGet || m == transport.MethodDelete:
		if err = noBody(x.r); err == nil && id != "" {
			call.Body = append(value.AppendQuoted([]byte(`{"id":`), id), '}')
		}
	default:
		call.Body, err = x.body(false)
	}
	if err != nil {
		return err
	}
	var out value.Value
	if s.reads {
		answer, err := d.Engine.Query(ctx, call)
		if err != nil {
			return err
		}
		out = answer.Output
	} else {
		reply, err := d.Engine.Execute(ctx, call)
		x.committed(&reply, err)
		if err != nil {
			return err
		}
		out = reply.Output
	}
	return d.signedIn(ctx, x, s, out)
}

// signedIn writes what a built-in action of sign-in returned: the user as the record
// that he may see, and the session as a cookie unless it was asked for as a token.
func (d *Door) signedIn(ctx context.Context, x *exchange, s *signIn, out value.Value) error {
	if s.ends && x.byCookie {
		x.setCookie("", x.seen.Started)
	}
	if out.IsNull() {
		x.send(http.StatusNoContent, nil)
		return nil
	}
	record := out.Record()
	credential := x.credential
	if s.opens {
		credential = record.Get("token").Text()
		if record.Get("refresh_token").IsNull() {
			x.setCookie(credential, record.Get("expires").Time())
			record = record.Clone()
			record.Set("token", value.Value{})
			record.Set("refresh_token", value.Value{})
			record.Set("expires", value.Value{})
		}
	}
	b := buffers.Get().(*[]byte)
	defer putBuffer(b)
	*b = d.appendSession(ctx, x, (*b)[:0], record, credential)
	status := s.status
	if status == 0 {
		status = http.StatusOK
	}
	x.send(status, *b)
	return nil
}

// appendSession appends a record in whose field user stands the user and not his id.
func (d *Door) appendSession(ctx context.Context, x *exchange, dst []byte, record value.Record,
	credential string) []byte {
	dst = append(dst, '{')
	user := record.Get("user")
	if !user.IsNull() {
		dst = d.appendUser(ctx, x, append(dst, `"user":`...), user.Text(), credential)
		record = record.Clone()
		record.Set("user", value.Value{})
	}
	mark := len(dst)
	dst = append(dst, ',')
	dst, some := value.AppendMembers(dst, record)
	switch {
	case !some:
		dst = dst[:mark]
	case user.IsNull():
		dst = append(dst[:mark], dst[mark+1:]...)
	}
	return append(dst, '}')
}

// appendUser appends the user's record as he may see it. Where no rule lets him see
// himself, his id is all there is.
func (d *Door) appendUser(ctx context.Context, x *exchange, dst []byte, id,
	credential string) []byte {
	answer, err := d.Engine.Query(ctx, engine.Call{ID: x.id, Verb: engine.Get,
		Target: spec.Users, Record: id, Credential: credential, Door: x.wire(),
		Request: engine.Request{IP: peer(x.r.RemoteAddr), Method: http.MethodGet}})
	if err != nil || len(answer.Items) != 1 {
		return append(value.AppendQuoted(append(dst, `{"id":`...), id), '}')
	}
	return transport.AppendItem(dst, &answer.Items[0])
}
