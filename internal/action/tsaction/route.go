package tsaction

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// response reads what a route returned: {status, headers, body}, or nothing.
func (m *machine) response(v goja.Value, shape *value.Shape) (value.Record, error) {
	r := value.NewRecord(shape)
	for i, f := range shape.Fields() {
		r.Slots[i] = f.Default
	}
	if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
		r.Set("status", value.OfInt(204))
		return r, nil
	}
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Object" {
		return r, fmt.Errorf("a route returns {status, headers, body}, got %s", m.show(v))
	}
	headers := value.OfJSON("{}")
	kind := ""
	for _, key := range o.Keys() {
		x := o.Get(key)
		var err error
		switch {
		case goja.IsUndefined(x):
		case key == "status":
			n, ok := whole(x)
			if !ok || n < 200 || n > 599 {
				return r, fmt.Errorf("the status of a route is a number from 200 to 599, got %s", m.show(x))
			}
			r.Set("status", value.OfInt(n))
		case key == "headers":
			headers, err = m.json(x, "headers")
		case key == "body":
			kind, err = m.body(x, &r)
		default:
			err = fmt.Errorf("a route returns status, headers and body; %s is none of them", key)
		}
		if err != nil {
			return r, err
		}
	}
	r.Set("headers", typed(headers, kind))
	return r, nil
}

// typed adds the type of the body to the headers, if they name none.
func typed(headers value.Value, kind string) value.Value {
	var named map[string]json.RawMessage
	if kind == "" || json.Unmarshal([]byte(headers.Text()), &named) != nil {
		return headers
	}
	for name := range named {
		if strings.EqualFold(name, "content-type") {
			return headers
		}
	}
	comma := ","
	if len(named) == 0 {
		comma = ""
	}
	return value.OfJSON(`{"content-type":"` + kind + `"` + comma + headers.Text()[1:])
}

// body reads the body of an answer and returns its type.
func (m *machine) body(v goja.Value, r *value.Record) (kind string, err error) {
	if text, ok := v.(goja.String); ok {
		r.Set("body", value.OfText(m.little(text, "the body")))
		return "text/plain; charset=utf-8", nil
	}
	if b, ok := bytesOf(v); ok {
		return "application/octet-stream", m.binary(b, r)
	}
	if o, ok := v.(*goja.Object); ok {
		if buffer := o.Get("buffer"); buffer != nil {
			if b, ok := bytesOf(buffer); ok {
				from, n := o.Get("byteOffset").ToInteger(), o.Get("byteLength").ToInteger()
				return "application/octet-stream", m.binary(b[from:from+n], r)
			}
		}
	}
	text, err := m.stringify(goja.Undefined(), v)
	if err != nil || goja.IsUndefined(text) {
		return "", fmt.Errorf("the body cannot be written as JSON")
	}
	r.Set("body", value.OfText(m.little(text, "the body")))
	return "application/json", nil
}

func (m *machine) binary(b []byte, r *value.Record) error {
	if len(b) > webMax {
		return fmt.Errorf("the body has more than %d bytes", webMax)
	}
	if utf8.Valid(b) {
		r.Set("body", value.OfText(string(b)))
		return nil
	}
	r.Set("body", value.OfText(base64.StdEncoding.EncodeToString(b)))
	r.Set("binary", value.OfBool(true))
	return nil
}

// who reads which user asks: his record, his id, or null.
func (m *machine) who(v goja.Value, shape *value.Shape) (value.Record, error) {
	r := value.NewRecord(shape)
	r.Slots[0] = value.OfNull()
	if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
		return r, nil
	}
	if text, ok := export(v).(string); ok {
		r.Slots[0] = value.OfText(text)
		return r, nil
	}
	if x, ok := export(v).(*record); ok && x.collection == spec.Users {
		r.Slots[0] = value.OfText(x.id())
		return r, nil
	}
	return r, fmt.Errorf("it returns a user, his id or null, got %s", m.show(v))
}

// keeper returns what knows secrets, or ends the run.
func (m *machine) keeper() action.Keeper {
	k, ok := m.run.host.(action.Keeper)
	if !ok {
		m.fatal(internal("%s: there are no secrets here", m.run.call.Title()))
	}
	return k
}

// tokens makes tx.token.
func (m *machine) tokens() *goja.Object {
	o := m.vm.NewObject()
	_ = o.Set("sign", m.signToken) // a fresh object takes every name
	_ = o.Set("verify", m.verifyToken)
	return o
}

// secret returns a secret by its name, or ends the run.
func (m *machine) secret(v goja.Value) (string, bool) {
	k := m.keeper()
	if k == nil {
		return "", false
	}
	text, err := k.Secret(v.String())
	if err != nil {
		m.fatal(internal("%s: %w", m.run.call.Title(), err))
		return "", false
	}
	return text, true
}

// signToken is tx.token.sign(secret, claims, {expires}).
func (m *machine) signToken(c goja.FunctionCall) goja.Value {
	if !m.enter() {
		return goja.Undefined()
	}
	secret, ok := m.secret(c.Argument(0))
	if !ok {
		return goja.Undefined()
	}
	claims, err := m.json(c.Argument(1), "the claims of a token")
	if err != nil {
		m.typeError("%s", err)
	}
	var live time.Duration
	if o, ok := c.Argument(2).(*goja.Object); ok {
		if v := o.Get("expires"); v != nil && !goja.IsUndefined(v) {
			live = m.span(v, "expires")
		}
	}
	token, err := action.SignToken(secret, []byte(claims.Text()), m.run.host.Now(), live)
	if err != nil {
		m.typeError("%s", err)
	}
	return m.vm.ToValue(token)
}

// verifyToken is tx.token.verify(secret, token): the claims, or null.
func (m *machine) verifyToken(c goja.FunctionCall) goja.Value {
	if !m.enter() {
		return goja.Undefined()
	}
	secret, ok := m.secret(c.Argument(0))
	text, is := export(c.Argument(1)).(string)
	if !ok || !is {
		return goja.Null()
	}
	claims, ok := action.VerifyToken(secret, text, m.run.host.Now())
	if !ok {
		return goja.Null()
	}
	return m.toJS(value.OfJSON(string(claims)))
}

// passwords makes tx.password.
func (m *machine) passwords() *goja.Object {
	o := m.vm.NewObject()
	_ = o.Set("hash", m.hashPassword) // a fresh object takes every name
	_ = o.Set("verify", m.verifyPassword)
	return o
}

// hashPassword is tx.password.hash(password).
func (m *machine) hashPassword(c goja.FunctionCall) goja.Value {
	if !m.enter() {
		return goja.Undefined()
	}
	text, ok := export(c.Argument(0)).(string)
	k := m.keeper()
	if !ok {
		m.typeError("password.hash wants a text, got %s", m.show(c.Argument(0)))
	}
	if k == nil {
		return goja.Undefined()
	}
	hash, err := k.HashPassword(m.run.ctx, text)
	if err != nil {
		return m.fail(err)
	}
	return m.vm.ToValue(hash)
}

// verifyPassword is tx.password.verify(hash, password).
func (m *machine) verifyPassword(c goja.FunctionCall) goja.Value {
	if !m.enter() {
		return goja.Undefined()
	}
	hash, _ := export(c.Argument(0)).(string) // no account has none
	text, ok := export(c.Argument(1)).(string)
	k := m.keeper()
	if !ok {
		m.typeError("password.verify wants a hash and a text, got %s", m.show(c.Argument(1)))
	}
	if k == nil {
		return goja.Undefined()
	}
	right, err := k.CheckPassword(m.run.ctx, hash, text)
	if err != nil {
		return m.fail(err)
	}
	return m.vm.ToValue(right)
}
