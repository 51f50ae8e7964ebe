package codegen

import (
	"encoding/json"

	"github.com/galleybackend/galley/internal/spec"
)

// AsyncAPI returns the AsyncAPI 3 document of the socket: what may be sent over it and
// what comes, as far as the app file opens it. The same spec gives the same bytes.
func AsyncAPI(sp *spec.Spec) []byte {
	d := &asyncAPI{spec: sp, operations: object{}, messages: object{}, schemas: object{}}
	d.signIn()
	for _, c := range sp.Collections {
		if !c.Quiet && c.Allow.Read != nil {
			d.follow(c)
			d.aggregate(c)
		}
	}
	for _, v := range sp.Views {
		if c := sp.Collection(v.From); c != nil && !v.Allow.Empty() {
			d.schemas[v.Name] = viewSchema(v, c)
			d.whole(v.Name, v.Name, ref("schemas", v.Name), object{})
		}
	}
	d.requests()
	for i, c := range sp.Channels {
		d.channel(c, i == 0)
	}
	d.common()
	text, err := json.MarshalIndent(d.document(), "", "  ")
	if err != nil {
		panic(err) // maps, slices, texts and numbers of our own making
	}
	return append(text, '\n')
}

// asyncAPI gathers the parts of a document.
type asyncAPI struct {
	spec                          *spec.Spec
	operations, messages, schemas object
	// follows reports that something can be followed.
	follows bool
}

func (d *asyncAPI) document() object {
	in := object{}
	for name := range d.messages {
		in[name] = ref("messages", name)
	}
	host := object{"host": object{"default": "localhost:8080",
		"description": "The name by which the app is reached."}}
	security := []any{ref("securitySchemes", "bearer"), ref("securitySchemes", "session")}
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": d.spec.App, "version": "1",
			"description": "What goes on in " + d.spec.App + ": queries that are kept true, " +
				"channels, and requests, over one socket. Each frame is one JSON object. A frame " +
				"with an id has exactly one answer, with the same id.",
			"contact": object{"name": "The developers of " + d.spec.App, "url": "https://localhost"},
		},
		"defaultContentType": "application/json",
		"servers": object{"app": object{"host": "{host}", "protocol": "wss", "variables": host,
			"description": "The app itself. The subprotocol is galley.v1.", "security": security}},
		"channels": object{"socket": object{"address": "/api/ws", "title": "The socket",
			"description": "A WebSocket with the subprotocol galley.v1.",
			"servers":     []any{object{"$ref": "#/servers/app"}},
			"messages":    in, "bindings": object{"ws": object{"method": "GET"}}}},
		"operations": d.operations,
		"components": object{"messages": d.messages, "schemas": d.schemas,
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "description": "The token that " +
					"sign-in returns when it is asked for one. It may be sent as a frame instead."},
				"session": object{"type": "httpApiKey", "in": "cookie", "name": "__Host-galley",
					"description": "The cookie that sign-in sets. With it the page must be of the " +
						"same origin."},
			}},
	}
}

// message adds a message and returns its name.
func (d *asyncAPI) message(name, summary string, payload object) string {
	d.messages[name] = object{"name": name, "title": name, "summary": summary, "payload": payload}
	return name
}

func inSocket(messages ...string) []any {
	out := []any{}
	for _, name := range messages {
		out = append(out, object{"$ref": "#/channels/socket/messages/" + name})
	}
	return out
}

// takes adds an operation of something that clients send, answered by one of the messages.
func (d *asyncAPI) takes(name, summary, message string, answers ...string) {
	op := object{"action": "receive", "channel": object{"$ref": "#/channels/socket"},
		"summary": summary, "messages": inSocket(message)}
	if len(answers) > 0 {
		op["reply"] = object{"channel": object{"$ref": "#/channels/socket"},
			"messages": inSocket(append(answers, "refused")...)}
	}
	d.operations[name] = op
}

// tells adds an operation of something that the app pushes.
func (d *asyncAPI) tells(name, summary string, messages ...string) {
	d.operations[name] = object{"action": "send", "channel": object{"$ref": "#/channels/socket"},
		"summary": summary, "messages": inSocket(messages...)}
}

// strict is an object of these members and no others, some of them required.
func strict(props object, required ...any) object {
	s := object{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func constant(v any) object { return object{"const": v} }

func plain(kind, description string) object {
	return object{"type": kind, "description": description}
}

// id is what an answer is known by.
func id() object {
	return object{"type": "integer", "minimum": 0, "maximum": 1<<53 - 1,
		"description": "What the answer is known by."}
}

func place() object {
	return plain("string", "A place in the journal, opaque. Given as since it resumes here.")
}

func ok(props object, required ...any) object {
	return strict(object{"id": id(), "ok": strict(props, required...)}, "id", "ok")
}

func (d *asyncAPI) signIn() {
	d.message("done", "It is done.", ok(object{}))
	if d.spec.Auth == nil {
		return
	}
	d.takes("auth", "Say who you are, before the first follow", d.message("auth",
		"A session's token.", strict(object{"id": id(), "auth": plain("string", "The token.")},
			"id", "auth")), "done")
}

// follow adds what a read rule opens.
func (d *asyncAPI) follow(c *spec.Collection) {
	d.follows = true
	d.schemas[c.Name] = recordSchema(c)
	sub := plain("string", "The subscription.")
	changes := object{"type": "array", "items": object{"oneOf": []any{
		strict(object{"put": ref("schemas", c.Name)}, "put"),
		strict(object{"del": ref("schemas", "id")}, "del")}}}
	items := object{"type": "array", "items": ref("schemas", c.Name)}
	ask := d.message("follow_"+c.Name, "A query over "+c.Name+".", strict(object{
		"id": id(), "follow": constant(c.Name),
		"filter": plain("string", "A condition in CEL over the fields."),
		"sort":   plain("string", "Fields to order by, a minus before those that descend."),
		"limit":  object{"type": "integer", "minimum": 1, "maximum": 500},
		"fields": plain("string", "The fields to return, by name."),
		"expand": plain("string", "Relations whose records are put beside their ids."),
		"since":  place()}, "id", "follow"))
	begun := d.message("followed_"+c.Name, "The answer to the query as it is, and its place.",
		ok(object{"sub": sub, "items": items, "at": place(), "reset": object{"const": true,
			"description": "What was known before is void."}}, "sub", "items", "at"))
	resumed := d.message("resumed_"+c.Name, "What changed since.",
		ok(object{"sub": sub, "changes": changes, "at": place()}, "sub", "changes", "at"))
	d.takes("follow_"+c.Name, "Follow the "+c.Name+" that you may read", ask, begun, resumed)
	d.tells("tell_"+c.Name, "Tell what changed among followed "+c.Name,
		d.message("changes_"+c.Name, "What one commit changed.", strict(object{"sub": sub,
			"at": place(), "by": plain("string", "The connection whose call it was."),
			"changes": changes, "more": more()}, "sub", "at", "changes")),
		d.message("reset_"+c.Name, "Everything again, after too much was not acknowledged.",
			strict(object{"sub": sub, "reset": constant(true), "items": items, "at": place(),
				"more": more()}, "sub", "reset", "items", "at")))
}

// aggregate adds what may be computed over a collection.
func (d *asyncAPI) aggregate(c *spec.Collection) {
	d.whole("aggregate_"+c.Name, c.Name+"/aggregate", object{"type": "object",
		"description": "One group: the fields by which it was grouped, and what was computed."},
		object{"filter": plain("string", "A condition in CEL over the fields."),
			"group":  plain("string", "The fields by which records are grouped."),
			"select": plain("string", "What is computed: name:function(field)."),
			"sort":   plain("string", "Columns to order by, a minus before those that descend."),
			"limit":  object{"type": "integer", "minimum": 1, "maximum": 500}})
}

// whole adds what is followed as one answer.
func (d *asyncAPI) whole(name, follow string, row object, ask object) {
	d.follows = true
	sub := plain("string", "The subscription.")
	items := object{"type": "array", "items": row}
	ask["id"], ask["follow"], ask["since"] = id(), constant(follow), place()
	void := object{"const": true, "description": "What was known before is void."}
	d.takes("follow_"+name, "Follow "+follow,
		d.message("follow_"+name, "What "+follow+" is, kept true.", strict(ask, "id", "follow")),
		d.message("followed_"+name, "The answer as it is, and its place.",
			ok(object{"sub": sub, "items": items, "at": place(), "reset": void}, "sub", "items", "at")))
	d.tells("tell_"+name, "Tell what followed "+follow+" has become",
		d.message("reset_"+name, "The whole answer as it is now.",
			strict(object{"sub": sub, "reset": constant(true), "items": items, "at": place(),
				"more": more()}, "sub", "reset", "items", "at")))
}

func more() object {
	return object{"const": true, "description": "Another frame of the same commit follows."}
}

// requests adds what could be asked over HTTP.
func (d *asyncAPI) requests() {
	free := object{"description": "JSON, as over HTTP."}
	ask := d.message("request", "What could be asked over HTTP, as the OpenAPI document has it.",
		strict(object{"id": id(),
			"method": object{"type": "string", "enum": []any{"GET", "POST", "PATCH", "PUT", "DELETE"}},
			"path":   object{"type": "string", "examples": []any{"/api/health"}},
			"key":    object{"type": "string", "minLength": 1, "maxLength": 255}, "body": free,
			"if_match": object{"type": "integer", "description": "The version that you have read."}},
			"id", "method", "path"))
	status := object{"type": "integer", "description": "The status that HTTP would have."}
	answered := d.message("answer", "The answer that HTTP would have given.", strict(object{
		"id": id(), "status": status, "body": free, "at": place(), "replayed": constant(true)},
		"id", "status"))
	d.message("refused", "A problem.", strict(object{"id": id(), "status": status,
		"problem": ref("schemas", "problem"), "retry_after": plain("integer",
			"After how many seconds to ask again."), "replayed": constant(true)},
		"id", "status", "problem"))
	d.takes("request", "Ask what could be asked over HTTP", ask, answered)
}

// channel adds a family of channels; those after the first share its messages.
func (d *asyncAPI) channel(c *spec.Channel, first bool) {
	if first {
		d.inChannels()
	}
	props := d.messages["join"].(object)["payload"].(object)["properties"].(object)
	names := props["join"].(object)
	list, _ := names["examples"].([]any)
	names["examples"] = append(list, c.Plain())
}

func (d *asyncAPI) inChannels() {
	name := func() object { return plain("string", "The channel.") }
	free := object{"description": "JSON of your own."}
	present := object{"type": "object", "required": []any{"who", "user"}, "properties": object{
		"who":   plain("string", "The connection."),
		"user":  object{"description": "The user as the members see him, null for a stranger."},
		"state": free}}
	d.takes("join", "Join a channel", d.message("join", "The channel, and what you show of yourself.",
		strict(object{"id": id(), "join": name(), "state": free}, "id", "join")),
		d.message("joined", "Who is there.", ok(object{"who": plain("string",
			"This connection."), "present": object{"type": "array", "items": present}},
			"who", "present")))
	d.takes("leave", "Leave a channel", d.message("leave", "The channel.",
		strict(object{"id": id(), "leave": name()}, "leave")), "done")
	d.takes("send", "Send to a channel", d.message("send", "The channel and the message.",
		strict(object{"id": id(), "send": name(), "message": free}, "send", "message")), "done")
	d.takes("state", "Show something of yourself in a channel", d.message("state",
		"The channel and what you show.",
		strict(object{"id": id(), "state": name(), "value": free}, "state", "value")), "done")
	d.tells("tell_channel", "Tell what happens in a channel", d.message("in_channel",
		"A message, who came, who went, what one shows, or that you are no member any more.",
		object{"type": "object", "required": []any{"channel"}, "properties": object{
			"channel": name(), "from": plain("string", "The sender's connection."),
			"user": object{"description": "The sender's id."}, "message": free, "joined": present,
			"left":  plain("string", "The connection that went."),
			"state": object{"type": "object"},
			"ended": object{"type": "object", "properties": object{"code": object{"type": "string"}}},
		}}))
}

// common adds what every socket has.
func (d *asyncAPI) common() {
	o := &openAPI{spec: d.spec, schemas: d.schemas}
	o.common()
	d.schemas["id"] = idSchema()
	d.takes("pong", "Give a sign of life", d.message("pong", "The answer to a ping.", strict(object{})))
	d.tells("ping", "Ask for a sign of life",
		d.message("ping", "It is answered with the same frame.", strict(object{})))
	d.tells("closing", "Tell that the server closes", d.message("closing",
		"The server restarts; come back after so many milliseconds.",
		strict(object{"closing": strict(object{"code": constant(1012),
			"reconnect_in": object{"type": "integer", "description": "Milliseconds."}}, "code",
			"reconnect_in")}, "closing")))
	if !d.follows {
		return
	}
	sub := plain("string", "The subscription.")
	d.takes("unfollow", "End a subscription", d.message("unfollow", "The subscription.",
		strict(object{"id": id(), "unfollow": sub}, "id", "unfollow")), "done")
	d.takes("ack", "Say up to where you have everything", d.message("ack", "The place.",
		strict(object{"ack": place()}, "ack")))
	d.tells("tell_ended", "Tell that a subscription is over", d.message("ended",
		"The subscription, and why it is over.", strict(object{"sub": sub, "ended": strict(object{
			"code": object{"type": "string"}}, "code")}, "sub", "ended")))
	d.tells("tell_place", "Tell that everything up to a place was pushed",
		d.message("place", "The place of a call of this connection.", strict(object{"at": place()},
			"at")))
}
