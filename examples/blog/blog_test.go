// Package blog_test speaks to the example blog as its many front ends do.
package blog_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/galleybackend/galley"
)

// client is somebody with a token, or nobody.
type client struct {
	t     *testing.T
	base  string
	token string
}

// ask sends a request and returns the status and the body, read as JSON.
func (c client) ask(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	if c.token != "" {
		req.Header.Set("Authorization", "Token "+c.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			c.t.Fatalf("%s %s: %s: %v", method, path, text, err)
		}
	}
	return res.StatusCode, out
}

// want asks, and compares what is found at a path of names and numbers.
func (c client) want(method, path, body string, status int, at string, want any) map[string]any {
	c.t.Helper()
	got, out := c.ask(method, path, body)
	if got != status {
		c.t.Fatalf("%s %s answered %d %v, want %d", method, path, got, out, status)
	}
	if found := look(out, at); fmt.Sprint(found) != fmt.Sprint(want) {
		c.t.Fatalf("%s %s has %v at %s, want %v: %v", method, path, found, at, want, out)
	}
	return out
}

func look(v any, at string) any {
	for name := range strings.FieldsSeq(at) {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			var n int
			if _, err := fmt.Sscan(name, &n); err != nil || n >= len(x) {
				return nil
			}
			v = x[n]
		default:
			return nil
		}
	}
	return v
}

func open(t *testing.T) client {
	t.Helper()
	t.Setenv("TOKEN_KEY", "a secret of thirty characters.")
	server, err := galley.New(nil).Open(t.Context(), galley.Config{App: ".", Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	listen := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		listen.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return client{t: t, base: listen.URL}
}

// register makes an account and returns its owner.
func (c client) register(name string) client {
	c.t.Helper()
	out := c.want("POST", "/api/users", fmt.Sprintf(
		`{"user":{"username":%q,"email":"%s@example.com","password":"a long secret"}}`, name, name),
		201, "user username", name)
	c.token = look(out, "user token").(string)
	return c
}

func TestTheBlogKeepsItsContract(t *testing.T) {
	nobody := open(t)
	ana, bo := nobody.register("ana"), nobody.register("bo")

	// accounts
	nobody.want("POST", "/api/users", `{"user":{"username":"ana","email":"x@example.com","password":"a long secret"}}`,
		409, "errors username 0", "has already been taken")
	nobody.want("POST", "/api/users", `{"user":{"email":"x@example.com","password":"a long secret"}}`,
		422, "errors username 0", "can't be blank")
	nobody.want("POST", "/api/users/login", `{"user":{"email":"ana@example.com","password":"wrong"}}`,
		401, "errors credentials 0", "invalid")
	nobody.want("POST", "/api/users/login", `{"user":{"email":"nobody@example.com","password":"wrong"}}`,
		401, "errors credentials 0", "invalid")
	nobody.want("POST", "/api/users/login", `{"user":{"email":"ana@example.com","password":"a long secret"}}`,
		200, "user email", "ana@example.com")
	nobody.want("GET", "/api/user", "", 401, "errors token 0", "is missing")
	client{t, nobody.base, ana.token + "x"}.want("GET", "/api/user", "", 401, "errors token 0", "is missing")
	ana.want("PUT", "/api/user", `{"user":{"bio":"writes","image":"https://i.example/a.png"}}`, 200, "user bio", "writes")
	ana.want("GET", "/api/user", "", 200, "user image", "https://i.example/a.png")

	// following
	bo.want("POST", "/api/profiles/ana/follow", "", 200, "profile following", true)
	bo.want("POST", "/api/profiles/ana/follow", "", 200, "profile following", true)
	nobody.want("GET", "/api/profiles/ana", "", 200, "profile following", false)
	bo.want("GET", "/api/profiles/ana", "", 200, "profile following", true)
	nobody.want("GET", "/api/profiles/zoe", "", 404, "errors profile 0", "not found")

	// articles
	ana.want("POST", "/api/articles", `{"article":{"title":"","description":"d","body":"b"}}`, 422,
		"errors title 0", "can't be blank")
	ana.want("POST", "/api/articles", `{"article":{"title":"How to train your dragon","description":"Ever wonder?",`+
		`"body":"It takes a Jacobian","tagList":["dragons","training"]}}`, 201, "article slug", "how-to-train-your-dragon")
	ana.want("POST", "/api/articles", `{"article":{"title":"Ünïcode","description":"d","body":"b","tagList":["dragons"]}}`,
		201, "article favoritesCount", 0)
	nobody.want("POST", "/api/articles", `{"article":{}}`, 401, "errors token 0", "is missing")
	nobody.want("GET", "/api/articles/how-to-train-your-dragon", "", 200, "article tagList 1", "training")
	nobody.want("GET", "/api/articles", "", 200, "articlesCount", 2)
	nobody.want("GET", "/api/articles?limit=1&offset=1", "", 200, "articles 0 slug", "how-to-train-your-dragon")
	nobody.want("GET", "/api/articles?tag=training", "", 200, "articlesCount", 1)
	nobody.want("GET", "/api/articles?author=bo", "", 200, "articlesCount", 0)
	nobody.want("GET", "/api/tags", "", 200, "tags 0", "dragons")
	bo.want("GET", "/api/articles/feed", "", 200, "articlesCount", 2)
	ana.want("GET", "/api/articles/feed", "", 200, "articlesCount", 0)
	bo.want("PUT", "/api/articles/how-to-train-your-dragon", `{"article":{"body":"x"}}`, 403, "errors article 0",
		"forbidden")
	ana.want("PUT", "/api/articles/how-to-train-your-dragon", `{"article":{"title":"Did you train it?"}}`, 200,
		"article slug", "did-you-train-it")

	// favourites, seen by each in his own way
	bo.want("POST", "/api/articles/did-you-train-it/favorite", "", 200, "article favorited", true)
	nobody.want("GET", "/api/articles/did-you-train-it", "", 200, "article favoritesCount", 1)
	nobody.want("GET", "/api/articles?favorited=bo", "", 200, "articles 0 favorited", false)
	bo.want("GET", "/api/articles?favorited=bo", "", 200, "articles 0 author following", true)
	bo.want("DELETE", "/api/articles/did-you-train-it/favorite", "", 200, "article favoritesCount", 0)

	// comments
	out := bo.want("POST", "/api/articles/did-you-train-it/comments", `{"comment":{"body":"Thanks!"}}`, 201,
		"comment author username", "bo")
	id := fmt.Sprint(look(out, "comment id"))
	nobody.want("GET", "/api/articles/did-you-train-it/comments", "", 200, "comments 0 body", "Thanks!")
	ana.want("DELETE", "/api/articles/did-you-train-it/comments/"+id, "", 403, "errors comment 0",
		"forbidden")
	bo.want("DELETE", "/api/articles/did-you-train-it/comments/"+id, "", 204, "", map[string]any{})
	ana.want("DELETE", "/api/articles/did-you-train-it", "", 204, "", map[string]any{})
	nobody.want("GET", "/api/articles/did-you-train-it", "", 404, "errors article 0", "not found")

	// methods, and what is no route
	nobody.want("PATCH", "/api/articles", "", 405, "code", "method_not_allowed")
	nobody.want("GET", "/api/comments", "", 404, "code", "not_found")
	nobody.want("GET", "/api/articles/a/b/c", "", 404, "code", "not_found")
	res, err := http.Get(nobody.base + "/sitemap.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || string(text) != "/article/n-code\n" ||
		res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the sitemap is %q %v, %v", text, res.Header, err)
	}
}
