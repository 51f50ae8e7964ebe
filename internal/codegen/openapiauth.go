package codegen

import (
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// signIn adds the endpoints of sign-in, where the app has any.
func (d *openAPI) signIn() {
	if d.spec.Auth == nil {
		return
	}
	d.tag("auth", "Signing up, in and out.")
	d.sessionSchemas()
	if d.spec.Auth.SignUp != nil {
		d.schemas["sign_up_input"] = d.signUpSchema()
		d.authPost("sign-up", "Make an account and sign in", "sign_up_input",
			object{"201": answer("The new user, signed in.", ref("schemas", "signed_in"))}, "409")
	}
	d.authPost("sign-in", "Sign in", "sign_in_input",
		object{"200": answer("The user. The session is in a cookie, or in token if it was asked for.",
			ref("schemas", "signed_in"))})
	d.authPost("refresh", "Get fresh tokens", "refresh_input",
		object{"200": answer("The user with fresh tokens.", ref("schemas", "signed_in"))})
	d.authPost("sign-out", "Sign out", "",
		object{"204": answer("The session has ended.", nil)})
	d.authOther()
}

func (d *openAPI) sessionSchemas() {
	user := object{"$ref": "#/components/schemas/user_of_session"}
	d.schemas["user_of_session"] = object{"type": "object", "required": []any{"id"},
		"properties":  object{"id": ref("schemas", "id")},
		"description": "The user's record as he may see it himself."}
	if users := d.spec.Collection(spec.Users); users != nil && users.Allow.Read != nil {
		d.schemas["user_of_session"] = ref("schemas", spec.Users)
	}
	d.schemas["signed_in"] = object{"type": "object", "required": []any{"user"},
		"properties": object{"user": user, "token": object{"type": "string"},
			"refresh_token": object{"type": "string"},
			"expires":       object{"type": "string", "format": "date-time"}}}
	d.schemas["session"] = object{"type": "object", "required": []any{"user"},
		"properties": object{"user": object{"anyOf": []any{user, object{"type": "null"}},
			"description": "Null, and nothing else, if nobody is signed in."},
			"expires": object{"type": "string", "format": "date-time"},
			"methods": object{"type": "array", "items": object{"type": "string"}}}}
	d.schemas["sign_in_input"] = object{"type": "object", "additionalProperties": false,
		"required": []any{"email", "password"}, "properties": object{
			"email":    object{"type": "string", "format": "email"},
			"password": object{"type": "string", "format": "password"},
			"token":    tokenSchema()}}
	d.schemas["refresh_input"] = object{"type": "object", "additionalProperties": false,
		"required":   []any{"refresh_token"},
		"properties": object{"refresh_token": object{"type": "string"}}}
	d.schemas["password_input"] = object{"type": "object", "additionalProperties": false,
		"required": []any{"old", "new"}, "properties": object{
			"old": object{"type": "string", "format": "password"},
			"new": object{"type": "string", "format": "password"}}}
	d.schemas["devices"] = object{"type": "object", "required": []any{"items"},
		"properties": object{"items": object{"type": "array", "items": object{"type": "object",
			"required": []any{"id", "created", "ends", "address", "agent", "current"},
			"properties": object{"id": ref("schemas", "id"),
				"created": object{"type": "string", "format": "date-time"},
				"ends":    object{"type": "string", "format": "date-time"},
				"address": object{"type": "string"}, "agent": object{"type": "string"},
				"current": object{"type": "boolean"}}}}}}
}

func tokenSchema() object {
	return object{"type": "boolean",
		"description": "true returns the session as a token, for clients that are no browser."}
}

func (d *openAPI) signUpSchema() object {
	props := object{"email": object{"type": "string", "format": "email"},
		"password": object{"type": "string", "format": "password"}, "token": tokenSchema()}
	required := []any{"email", "password"}
	users := d.spec.Collection(spec.Users)
	for _, n := range d.spec.Auth.SignUp.Fields {
		if users == nil || users.Field(n.Name) == nil {
			continue
		}
		f := users.Field(n.Name)
		props[f.Name] = fieldSchema(f)
		if !f.Type.Optional && f.Default.Kind() == value.Absent {
			required = append(required, f.Name)
		}
	}
	return object{"type": "object", "properties": props, "required": required,
		"additionalProperties": false}
}

func (d *openAPI) authPost(path, summary, input string, answers object, problems ...string) {
	o := operation{id: "auth_" + under(path), tag: "auth", summary: summary, answers: answers,
		problems: append(problems, "400", "401", "403")}
	if input != "" {
		o.body = body(input)
		o.problems = append(o.problems, "413", "415", "422")
	}
	d.add("post", "/api/auth/"+path, o)
}

// under writes a path as part of an operation's name.
func under(path string) string {
	b := []byte(path)
	for i := range b {
		if b[i] == '-' {
			b[i] = '_'
		}
	}
	return string(b)
}

func (d *openAPI) authOther() {
	d.add("get", "/api/auth/session", operation{id: "auth_session", tag: "auth",
		summary:  "See who is signed in",
		answers:  object{"200": answer("The session.", ref("schemas", "session"))},
		problems: []string{"401"}})
	d.add("get", "/api/auth/sessions", operation{id: "auth_sessions", tag: "auth",
		summary:  "List your devices",
		answers:  object{"200": answer("The sessions.", ref("schemas", "devices"))},
		problems: []string{"401"}})
	id := object{"name": "id", "in": "path", "required": true, "schema": ref("schemas", "id"),
		"description": "The session's id."}
	d.add("delete", "/api/auth/sessions/{id}", operation{id: "auth_end_session", tag: "auth",
		summary: "Sign a device out", parameters: []any{id},
		answers:  object{"204": answer("It is signed out.", nil)},
		problems: []string{"401", "403", "404", "422"}})
	d.add("put", "/api/auth/password", operation{id: "auth_password", tag: "auth",
		summary: "Change your password, which signs all other devices out",
		body:    body("password_input"), answers: object{"204": answer("It is changed.", nil)},
		problems: []string{"400", "401", "403", "413", "415", "422"}})
	d.add("delete", "/api/auth/account", operation{id: "auth_delete_account", tag: "auth",
		summary: "Delete your account", answers: object{"204": answer("It is gone.", nil)},
		problems: []string{"401", "403", "409"}})
}
