package goaction

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/value"
)

// Event is a verified call from outside.
type Event struct {
	ID      string
	Body    json.RawMessage
	Raw     string
	Headers map[string]string
}

// Request is a request of one of the app's own URLs.
type Request struct {
	Route   string
	Method  string
	Path    string
	IP      string
	Params  map[string]string
	Query   map[string]string
	Headers map[string]string
	Body    []byte
	Input   json.RawMessage
}

// Response is the answer of a route.
type Response struct {
	Status  int
	Headers map[string][]string
	Body    []byte
}

// responseMax bounds the body of an answer, in bytes.
const responseMax = 8 << 20

// AddWebhook registers fn as the code of the named webhook.
func AddWebhook(p *Program, name string, original any, fn func(*Call, Event) error) {
	p.raw(action.Webhooks+"/"+name, original, func(c *Call, in value.Record) (value.Value, error) {
		e := Event{ID: in.Get("id").Text(), Body: jsonOf(in.Get("body")), Raw: in.Get("raw").Text()}
		return value.OfNull(), errOr(unpack(in.Get("headers"), &e.Headers),
			func() error { return fn(c, e) })
	})
}

func errOr(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// jsonOf returns a value as JSON.
func jsonOf(v value.Value) json.RawMessage { return value.AppendJSON(nil, v) }

func unpack(v value.Value, to any) error { return json.Unmarshal(jsonOf(v), to) }

// AddRoute registers fn as the code of the named route.
func AddRoute(p *Program, name string, original any, fn func(*Call, Request) (Response, error)) {
	p.raw(action.Routes+"/"+name, original, func(c *Call, in value.Record) (value.Value, error) {
		r, err := requestOf(in)
		if err != nil {
			return value.Value{}, err
		}
		out, err := fn(c, r)
		if err != nil {
			return value.Value{}, err
		}
		return out.value()
	})
}

// AddRouteUser registers fn as the code that tells which user asks.
func AddRouteUser(p *Program, name string, original any, fn func(*Call, Request) (string, error)) {
	p.raw(action.Routes+"/"+name, original, func(c *Call, in value.Record) (value.Value, error) {
		r, err := requestOf(in)
		if err != nil {
			return value.Value{}, err
		}
		who := value.NewRecord(action.WhoShape())
		who.Slots[0] = value.OfNull()
		id, err := fn(c, r)
		if id != "" {
			who.Slots[0] = value.OfText(id)
		}
		return value.OfRecord(who), err
	})
}

// AddRouteProblem registers fn as the code that shapes problems.
func AddRouteProblem(p *Program, name string, original any,
	fn func(*Call, json.RawMessage) (Response, error)) {
	p.raw(action.Routes+"/"+name, original, func(c *Call, in value.Record) (value.Value, error) {
		out, err := fn(c, jsonOf(in.Slots[0]))
		if err != nil {
			return value.Value{}, err
		}
		return out.value()
	})
}

func requestOf(in value.Record) (r Request, err error) {
	text := func(name string) string { return in.Get(name).Text() }
	r = Request{Route: text("route"), Method: text("method"), Path: text("path"), IP: text("ip")}
	for name, to := range map[string]any{"params": &r.Params, "query": &r.Query, "headers": &r.Headers} {
		if err := unpack(in.Get(name), to); err != nil {
			return r, err
		}
	}
	if r.Body, err = base64.StdEncoding.DecodeString(text("base64")); err != nil {
		return r, err
	}
	if v := in.Get("input"); v.Kind() != value.Absent {
		r.Input = jsonOf(v)
	}
	return r, nil
}

// value returns the answer as others know it.
func (r Response) value() (value.Value, error) {
	if len(r.Body) > responseMax {
		return value.Value{}, internal("the body has more than %d bytes", responseMax)
	}
	out := value.NewRecord(action.ResponseShape())
	if r.Status == 0 {
		r.Status = http.StatusOK
		if len(r.Body) == 0 {
			r.Status = http.StatusNoContent
		}
	}
	headers := map[string]any{}
	typed := len(r.Body) == 0
	for name, values := range r.Headers {
		headers[strings.ToLower(name)] = values
		if len(values) == 1 {
			headers[strings.ToLower(name)] = values[0]
		}
		typed = typed || strings.EqualFold(name, "content-type")
	}
	text := utf8.Valid(r.Body)
	switch {
	case typed:
	case text:
		headers["content-type"] = "text/plain; charset=utf-8"
	default:
		headers["content-type"] = "application/octet-stream"
	}
	head, err := json.Marshal(headers)
	if err != nil {
		return value.Value{}, err
	}
	out.Set("status", value.OfInt(int64(r.Status)))
	out.Set("headers", value.OfJSON(string(head)))
	out.Set("binary", value.OfBool(!text))
	out.Set("body", value.OfText(string(r.Body)))
	if !text {
		out.Set("body", value.OfText(base64.StdEncoding.EncodeToString(r.Body)))
	}
	return value.OfRecord(out), nil
}

// keeper does what needs the app's secrets.
func (c *Call) keeper(do func(action.Keeper, action.Host) error) error {
	return c.step(func(h action.Host) error {
		k, ok := h.(action.Keeper)
		if !ok {
			return internal("there are no secrets here")
		}
		return do(k, h)
	})
}

// Sign makes a token of claims.
func (c *Call) Sign(secret string, claims any, live time.Duration) (token string, err error) {
	err = c.keeper(func(k action.Keeper, h action.Host) error {
		key, err := k.Secret(secret)
		if err != nil {
			return err
		}
		text, err := json.Marshal(claims)
		if err != nil {
			return internal("the claims of a token: %w", err)
		}
		token, err = action.SignToken(key, text, h.Now(), live)
		return err
	})
	return token, err
}

// Verify fills claims from a token, and reports whether it is one of ours.
func (c *Call) Verify(secret, token string, claims any) (ok bool, err error) {
	err = c.keeper(func(k action.Keeper, h action.Host) error {
		key, err := k.Secret(secret)
		if err != nil {
			return err
		}
		text, good := action.VerifyToken(key, token, h.Now())
		ok = good && (claims == nil || json.Unmarshal(text, claims) == nil)
		return nil
	})
	return ok, err
}

// HashPassword returns what is kept of a password.
func (c *Call) HashPassword(password string) (hash string, err error) {
	err = c.keeper(func(k action.Keeper, _ action.Host) error {
		hash, err = k.HashPassword(c.ctx, password)
		return err
	})
	return hash, err
}

// CheckPassword reports whether a password has the hash.
func (c *Call) CheckPassword(hash, password string) (right bool, err error) {
	err = c.keeper(func(k action.Keeper, _ action.Host) error {
		right, err = k.CheckPassword(c.ctx, hash, password)
		return err
	})
	return right, err
}
