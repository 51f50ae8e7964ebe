package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/galleybackend/galley/bench/process"
)

// target is one server that is measured.
type target struct {
	name string
	can  []string // the workloads it takes part in
	api  api
	// must says that the bench is worth nothing without it.
	must bool
	// peer says that it runs only with -peers.
	peer bool
	// prepare builds the server and loads its data under dir, and returns the command
	// that serves it.
	prepare func(ctx context.Context, b *bench, dir string) (command, error)
	// tokens signs the people in and returns their tokens in order.
	tokens func(ctx context.Context, b *bench, t *target) ([]string, error)
	// sums says what the target holds after the runs; server is the running one.
	sums func(ctx context.Context, b *bench, t *target) (sums, error)

	// What the run fills in.
	dir     string
	command command
	server  *process.Server
	token   []string
	missing error // why it is not measured
	acked   acked
}

// command is what serves a target.
type command struct {
	path string
	args []string
}

// acked counts what a target has answered with success.
type acked struct{ checkouts, notes, wrong int64 }

// sums is what a target holds.
type sums struct{ Stock, Wallets, Orders, Total, Items, Notes int64 }

// shopAPI is how hello, the yardsticks and Galley are asked.
var shopAPI = api{
	product: "/api/products/", bearer: "Bearer ",
	list:  "/api/products?filter=price%%20%%3C%%3D%%20%d&sort=-price&limit=30",
	note:  "/api/notes",
	buy:   "/api/actions/checkout",
	total: "",
}

// postgresTargets is the table of the targets on PostgreSQL, in the order in which they
// are measured.
func postgresTargets() []*target {
	all := []string{"get", "list", "filters", "beside", "create", "checkout", "hot"}
	return []*target{
		{name: "hello", can: []string{"get"}, api: shopAPI, must: true, prepare: prepareHello},
		{
			name: "direct", can: all, api: shopAPI, must: true,
			prepare: prepareDirectPostgres, tokens: fileTokens, sums: directPostgresSums,
		},
		{
			name: "galley", can: all, api: shopAPI,
			prepare: prepareGalley(galleyPackage), tokens: signIn, sums: galleySums,
		},
		{
			name: "galley-go", can: []string{"checkout", "hot"}, api: shopAPI,
			prepare: prepareGalley("./bench/goapp"), tokens: signIn, sums: galleySums,
		},
	}
}

// prepareDirectPostgres loads the yardstick's database.
func prepareDirectPostgres(ctx context.Context, b *bench, dir string) (command, error) {
	path, err := b.build(ctx, "./bench/directpg")
	if err != nil {
		return command{}, err
	}
	url, err := b.cluster.Create(ctx, "direct")
	if err != nil {
		return command{}, err
	}
	_, err = process.Run(ctx, path, "load", url, dir, b.fixture.products, b.fixture.users)
	return command{path: path, args: []string{"serve", url}}, err
}

func directPostgresSums(ctx context.Context, b *bench, t *target) (sums, error) {
	return commandSums(ctx, t.command.path, "sums", b.cluster.URL("direct"))
}

// sqliteTargets is the table of the targets on SQLite.
func sqliteTargets() []*target {
	writes := []string{"create", "checkout", "hot"}
	return []*target{
		{
			name: "hello", can: []string{"get"}, api: shopAPI, must: true,
			prepare: prepareHello,
		},
		{
			name: "direct", can: append([]string{"get", "list", "filters", "beside"}, writes...),
			api: shopAPI, must: true,
			prepare: prepareDirect(), tokens: fileTokens, sums: directSums,
		},
		{
			name: "direct, grouped", can: writes, api: shopAPI, must: true,
			prepare: prepareDirect("-group"), tokens: fileTokens, sums: directSums,
		},
		{
			name: "galley", can: append([]string{"get", "list", "filters", "beside"}, writes...), api: shopAPI,
			prepare: prepareGalley(galleyPackage), tokens: signIn, sums: galleySums,
		},
		{
			name: "galley-go", can: []string{"checkout", "hot"}, api: shopAPI,
			prepare: prepareGalley("./bench/goapp"), tokens: signIn, sums: galleySums,
		},
		{
			name: "pocketbase", peer: true,
			can:     append([]string{"get", "list", "filters", "total", "beside"}, writes...),
			api:     pocketbaseAPI,
			prepare: preparePocketbase, tokens: fileTokens, sums: pocketbaseSums,
		},
	}
}

var pocketbaseAPI = api{
	product: "/api/collections/products/records/",
	list: "/api/collections/products/records?filter=price%%3C%%3D%d" +
		"&sort=-price&perPage=30&skipTotal=1",
	total: "/api/collections/products/records?filter=price%%3C%%3D%d&sort=-price&perPage=30",
	note:  "/api/collections/notes/records",
	buy:   "/api/checkout",
}

func (t *target) takes(workload string) bool {
	return t.missing == nil && slices.Contains(t.can, workload)
}

// newServer starts the target once more.
func (t *target) newServer(ctx context.Context, b *bench) (*process.Server, error) {
	cmd := exec.CommandContext(ctx, t.command.path, t.command.args...)
	id := b.fixture.listed[0]
	return process.Start(ctx, cmd, filepath.Join(t.dir, "server.log"), func(addr string) []byte {
		return t.api.get(nil, addr, id, "")
	})
}

// build compiles a package of this module into the work folder, as releases are built.
func (b *bench) build(ctx context.Context, pkg string) (string, error) {
	path := filepath.Join(b.dir, "bin", filepath.Base(pkg))
	_, err := process.Run(ctx, "env", "CGO_ENABLED=0", "go", "build", "-o", path, pkg)
	return path, err
}

func prepareHello(ctx context.Context, b *bench, _ string) (command, error) {
	path, err := b.build(ctx, "./bench/hello")
	return command{path: path}, err
}

func prepareDirect(flags ...string) func(context.Context, *bench, string) (command, error) {
	return func(ctx context.Context, b *bench, dir string) (command, error) {
		path, err := b.build(ctx, "./bench/direct")
		if err != nil {
			return command{}, err
		}
		_, err = process.Run(ctx, path, "load", dir, b.fixture.products, b.fixture.users)
		return command{path: path, args: append([]string{"serve", dir}, flags...)}, err
	}
}

// fileTokens reads the tokens that the target's own loader has left.
func fileTokens(_ context.Context, _ *bench, t *target) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, "tokens.json"))
	if err != nil {
		return nil, err
	}
	var tokens []string
	return tokens, json.Unmarshal(text, &tokens)
}

func directSums(ctx context.Context, b *bench, t *target) (sums, error) {
	return commandSums(ctx, t.command.path, "sums", t.dir)
}

// commandSums reads the sums that a command prints.
func commandSums(ctx context.Context, path string, args ...string) (s sums, err error) {
	text, err := process.Run(ctx, path, args...)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// verify compares what the target holds with what it has acknowledged.
func (t *target) verify(ctx context.Context, b *bench) error {
	if t.sums == nil {
		return nil
	}
	got, err := t.sums(ctx, b, t)
	if err != nil {
		return fmt.Errorf("read the sums: %w", err)
	}
	var all []error
	same := func(what string, got, want int64) {
		if got != want {
			all = append(all, fmt.Errorf("%s: holds %d, acknowledged %d", what, got, want))
		}
	}
	same("orders", got.Orders, t.acked.checkouts)
	same("order items", got.Items, t.acked.checkouts)
	same("stock", got.Stock, int64(len(b.fixture.listed))*stockEach-t.acked.checkouts)
	same("wallets and orders", got.Wallets+got.Total, userCount*walletEach)
	same("notes", got.Notes, t.acked.notes)
	return errors.Join(all...)
}
