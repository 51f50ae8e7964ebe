package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/galleybackend/galley/bench/load"
	"github.com/galleybackend/galley/bench/process"
)

// galleyPackage is the command itself.
const galleyPackage = "./cmd/galley"

// prepareGalley builds a galley binary and imports the fixture into the app of
// bench/app.
func prepareGalley(pkg string) func(context.Context, *bench, string) (command, error) {
	return func(ctx context.Context, b *bench, dir string) (command, error) {
		path, err := b.galley(ctx, pkg)
		if err != nil {
			return command{}, err
		}
		where := []string{"--data", filepath.Join(dir, "data")}
		if pkg == galleyPackage {
			where = append(where, "--app", "bench/app")
		}
		if b.database == "postgres" {
			url, err := b.cluster.Create(ctx, filepath.Base(dir))
			if err != nil {
				return command{}, err
			}
			where = append(where, "--database", url)
		}
		for _, args := range [][]string{
			{"migrate", "apply"},
			{"import", "products", b.fixture.products},
			{"import", "users", b.fixture.users},
		} {
			if _, err := process.Run(ctx, path, append(args, where...)...); err != nil {
				return command{}, err
			}
		}
		serve := append([]string{"serve", "--listen", "127.0.0.1:0", "--limits", "off"}, where...)
		return command{path: path, args: serve}, nil
	}
}

// galley returns the binary that -galley names, or builds the package.
func (b *bench) galley(ctx context.Context, pkg string) (string, error) {
	if b.config.galley != "" && pkg == galleyPackage {
		return filepath.Abs(b.config.galley)
	}
	return b.build(ctx, pkg)
}

// signIn gets a bearer token for each of the people over HTTP.
func signIn(ctx context.Context, b *bench, t *target) ([]string, error) {
	tokens := make([]string, len(b.fixture.people))
	for i, u := range b.fixture.people {
		in, err := json.Marshal(map[string]any{
			"email": u.Email, "password": u.Password, "token": true,
		})
		if err != nil {
			return nil, err
		}
		request := t.api.head(nil, "POST", t.server.Addr, "", "", len(in), "/api/auth/sign-in")
		var out struct{ Token string }
		if err := ask(ctx, t, append(request, in...), &out); err != nil {
			return nil, fmt.Errorf("sign in as %s: %w", u.Email, err)
		}
		tokens[i] = out.Token
	}
	return tokens, nil
}

// ask sends one request and reads the JSON of a 200.
func ask(ctx context.Context, t *target, request []byte, out any) error {
	status, body, err := load.Once(ctx, t.server.Addr, request)
	if err != nil {
		return err
	}
	if status != 200 {
		return fmt.Errorf("status %d: %.300s", status, body)
	}
	return json.Unmarshal(body, out)
}

// galleySums adds up through the API what the people may see, each for himself.
func galleySums(ctx context.Context, b *bench, t *target) (s sums, err error) {
	aggregate := func(collection, selected, token string, out any) error {
		page := struct{ Items any }{Items: out}
		return ask(ctx, t, t.api.head(nil, "GET", t.server.Addr, token, "", 0,
			"/api/", collection, "/aggregate?select=", url.QueryEscape(selected)), &page)
	}
	var stock []struct{ Sum int64 }
	if err := aggregate("products", "sum:sum(stock)", "", &stock); err != nil || len(stock) != 1 {
		return s, fmt.Errorf("sum of the stock: %w", err)
	}
	s.Stock = stock[0].Sum
	for i, token := range t.token {
		var orders, items []struct{ N, Sum int64 }
		if err := aggregate("orders", "n:count(),sum:sum(total)", token, &orders); err != nil {
			return s, err
		}
		if err := aggregate("order_items", "n:count()", token, &items); err != nil {
			return s, err
		}
		var notes []struct{ N int64 }
		if err := aggregate("notes", "n:count()", token, &notes); err != nil {
			return s, err
		}
		for _, o := range orders {
			s.Orders += o.N
			s.Total += o.Sum
		}
		for _, o := range items {
			s.Items += o.N
		}
		for _, o := range notes {
			s.Notes += o.N
		}
		var u user
		path := "/api/users/" + b.fixture.people[i].ID
		err := ask(ctx, t, t.api.head(nil, "GET", t.server.Addr, token, "", 0, path), &u)
		if err != nil {
			return s, err
		}
		s.Wallets += u.Wallet
	}
	return s, nil
}
