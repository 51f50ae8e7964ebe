package socket

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// verb is what a frame asks for.
type verb uint8

const (
	verbNone verb = iota // the answer to a ping
	verbAuth
	verbFollow
	verbUnfollow
	verbJoin
	verbLeave
	verbSend
	verbState
	verbAsk
	verbAck
)

// members are what a frame may hold, in the order in which they are listed.
var members = []string{"id", "auth", "follow", "unfollow", "join", "leave", "send", "state", "ack",
	"method", "path", "key", "body", "if_match", "filter", "sort", "limit", "fields", "expand",
	"select", "group", "since", "message", "value"}

// belongs says to which verb a member belongs that is not one itself.
var belongs = map[string]verb{"path": verbAsk, "key": verbAsk, "body": verbAsk, "if_match": verbAsk,
	"filter": verbFollow, "sort": verbFollow, "limit": verbFollow, "fields": verbFollow,
	"expand": verbFollow, "select": verbFollow, "group": verbFollow, "since": verbFollow, "message": verbSend, "value": verbState}

// verbs are the members that say what a frame asks for.
var verbs = map[string]verb{"auth": verbAuth, "follow": verbFollow, "unfollow": verbUnfollow,
	"join": verbJoin, "leave": verbLeave, "send": verbSend, "method": verbAsk, "ack": verbAck}

// frame is what a client sent.
type frame struct {
	// id is what the answer is known by; answered reports that there is one.
	id       int64
	answered bool
	verb     verb
	// name is the verb's own value: a token, a collection, a subscription, a channel, a
	// method, a place.
	name string
	// params and since are of a follow.
	params url.Values
	since  string
	// raw is the JSON of what is shown, said or asked, nil for none. It lies in the text
	// that was parsed.
	raw []byte
	// path, key and ifMatch are of a request.
	path, key string
	ifMatch   string
	// credential is the session of the connection when the frame came.
	credential string
}

// idMax is the greatest id: the greatest whole number that every JSON parser keeps.
const idMax = 1<<53 - 1

// decoders lends JSON decoders with what they read from.
var decoders = sync.Pool{New: func() any { return new(frameDecoder) }}

type frameDecoder struct {
	json jsontext.Decoder
	text bytes.Reader
	// wrong is the first thing that is wrong with a frame which is JSON.
	wrong error
	f     frame
	state []byte
	seen  []string
}

// parse reads the text of a frame. A bad frame is a fault; where its id could be read
// the frame says so, and the fault is its answer.
func parse(text []byte) (frame, error) {
	d := decoders.Get().(*frameDecoder)
	defer decoders.Put(d)
	d.text.Reset(text)
	d.json.Reset(&d.text)
	d.wrong, d.f, d.state, d.seen = nil, frame{}, nil, d.seen[:0]
	if err := d.read(text); err != nil {
		return frame{}, err
	}
	f, err := d.f, d.wrong
	if err == nil {
		err = d.settle(&f)
	}
	d.f, d.state = frame{}, nil
	return f, err
}

// read reads all members. Its error means that the text is no frame at all.
func (d *frameDecoder) read(text []byte) error {
	if d.json.PeekKind() != '{' {
		if _, err := d.json.ReadValue(); err != nil {
			return d.syntax(err)
		}
		return fault.New(fault.Malformed, "A frame is a JSON object.")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	for d.json.PeekKind() != '}' {
		token, err := d.json.ReadToken()
		if err != nil {
			return d.syntax(err)
		}
		name := token.String()
		raw, err := d.json.ReadValue()
		if err != nil {
			return d.syntax(err)
		}
		end := d.json.InputOffset()
		raw = text[end-int64(len(raw)) : end]
		if err := d.member(name, raw); err != nil {
			return err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	if _, err := d.json.ReadToken(); err != io.EOF {
		return fault.New(fault.Malformed, "Something follows the end of the frame.")
	}
	return nil
}

func (d *frameDecoder) syntax(err error) error {
	var s *jsontext.SyntacticError
	if errors.As(err, &s) {
		return fault.New(fault.Malformed, "The frame is not JSON: %s, at byte %d.", s.Err.Error(),
			s.ByteOffset+1)
	}
	return fault.New(fault.Malformed, "The frame is not JSON: it ends too early.")
}

// member takes one member of a frame.
func (d *frameDecoder) member(name string, raw jsontext.Value) error {
	f := &d.f
	if v, ok := verbs[name]; ok {
		if f.verb != verbNone {
			d.fail("A frame asks for one thing: %s or %s.", d.seen[0], name)
		}
		d.seen = append(d.seen, name)
		f.verb, f.name = v, d.text1(name, raw)
		return nil
	}
	switch name {
	case "id":
		id, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || id < 0 || id > idMax || string(raw) == "-0" {
			return fault.New(fault.Malformed, "An id is a whole number from 0 to %d.", idMax)
		}
		f.id, f.answered = id, true
	case "state":
		d.state = raw
	case "body", "message", "value":
		f.raw = raw
		d.seen = append(d.seen, name)
	case "path":
		f.path = d.text1(name, raw)
		d.seen = append(d.seen, name)
	case "key":
		f.key = d.text1(name, raw)
		d.seen = append(d.seen, name)
	case "if_match":
		d.ifMatch(raw)
	case "since":
		f.since = d.text1(name, raw)
		d.seen = append(d.seen, name)
	case "filter", "sort", "fields", "expand", "select", "group":
		d.param(name, d.text1(name, raw))
	case "limit":
		if raw.Kind() != '0' {
			d.fail("limit is a number.")
		}
		d.param(name, string(raw))
	default:
		d.unknown(name)
	}
	return nil
}

func (d *frameDecoder) param(name, text string) {
	if d.f.params == nil {
		d.f.params = url.Values{}
	}
	d.f.params[name] = []string{text}
	d.seen = append(d.seen, name)
}

// text1 reads a text without NUL, which no name has and no filter needs.
func (d *frameDecoder) text1(name string, raw jsontext.Value) string {
	if raw.Kind() != '"' {
		d.fail("%s is a text.", name)
		return ""
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil || bytes.IndexByte(text, 0) >= 0 {
		d.fail("%s holds a NUL.", name)
		return ""
	}
	return string(text)
}

// ifMatch reads a version: a number, or the entity tag as the header has it.
func (d *frameDecoder) ifMatch(raw jsontext.Value) {
	d.seen = append(d.seen, "if_match")
	if raw.Kind() == '"' {
		d.f.ifMatch = d.text1("if_match", raw)
		return
	}
	d.f.ifMatch = `"` + string(raw) + `"`
}

func (d *frameDecoder) unknown(name string) {
	hint := "It has " + strings.Join(members, ", ") + "."
	if near := value.Nearest(name, members); near != "" {
		hint = "Did you mean " + near + "?"
	}
	if len(name) > 48 {
		name = name[:48]
	}
	d.fail("A frame has no member %q. %s", name, hint)
}

// fail notes what is wrong, the first only.
func (d *frameDecoder) fail(format string, args ...any) {
	if d.wrong == nil {
		d.wrong = fault.New(fault.Malformed, format, args...)
	}
}

// settle finds out what a frame of known members asks for.
func (d *frameDecoder) settle(f *frame) error {
	switch {
	case d.state == nil:
	case f.verb == verbJoin:
		f.raw = d.state
	case f.verb == verbNone:
		f.verb, f.name = verbState, d.text1("state", d.state)
	default:
		d.fail("state belongs to join, or is asked for itself.")
	}
	for _, name := range d.seen {
		if of, ok := belongs[name]; ok && of != f.verb {
			d.fail("%s does not belong to this frame.", name)
		}
	}
	switch {
	case f.verb == verbNone && f.answered:
		d.fail("A frame with an id asks for something: auth, follow, unfollow, join, leave, send, " +
			"state, ack or method.")
	case f.verb == verbAsk && f.path == "":
		d.fail("A request has a method and a path.")
	case f.verb == verbSend && f.raw == nil:
		d.fail("send needs a message.")
	case f.verb == verbState && f.raw == nil:
		d.fail("state needs a value.")
	case !f.answered && f.verb >= verbAuth && f.verb <= verbJoin && f.verb != verbUnfollow,
		!f.answered && f.verb == verbAsk:
		d.fail("A frame that asks for an answer has an id.")
	}
	return d.wrong
}
