//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/do/server"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

const (
	// followEnv has how often each node is killed; followUsual if it is not set.
	followEnv, followUsual = "GALLEY_FOLLOW", 1
	// townWriters write, and townFollowers follow, each of them a user of his own.
	townWriters, townFollowers = 3, 6
	townRooms                  = 3
	// townChanges are made between two faults.
	townChanges = 24
)

// town is an app in which who sees a task depends on other records.
const town = `app: town
auth:
  sign_in: [password]
  sign_up: {fields: [name]}
define:
  inside(room): auth.name == "clerk" || members.exists(m, m.room == room && m.user == auth)
collections:
  users:
    fields:
      name: {type: string, max: 40}
    allow:
      read: record == auth || auth.name == "clerk"
  rooms:
    fields:
      name: {type: string, max: 40}
    allow:
      read:   true
      create: {if: true, fields: [name]}
  members:
    fields:
      room: rooms
      user: users
    unique: [[room, user]]
    allow:
      read:   inside(record.room)
      create: {if: auth.name == "clerk", fields: [room, user]}
      delete: auth.name == "clerk"
  tasks:
    fields:
      room: rooms
      n:    int
    allow:
      read:   inside(record.room)
      create: {if: auth.name == "clerk", fields: [room, n]}
      update: {if: auth.name == "clerk", fields: [room, n]}
      delete: auth.name == "clerk"
  marks:
    fields:
      name: {type: string, max: 40}
    allow:
      create: {if: true, fields: [name]}
`

// citizen is a user with a session.
type citizen struct{ id, token string }

// village is nodes with the town, those who write, and those who follow.
type village struct {
	*fleet
	dir      string
	clerk    citizen
	citizens []citizen
	rooms    []string
	done     atomic.Bool
	n        atomic.Int64

	mu    sync.Mutex
	ids   map[string][]string
	made  int
	seen  []sight
	wrong []string
	// counts of what the followers went through.
	lost, kept, resets, frames int
}

// TestFollowersSeeEveryCommit has real clients follow queries over sockets while writers
// change tasks and who may see them, processes are killed, and a server fails over. Who
// loses his connection comes back to another node, and says up to where he knows.
func TestFollowersSeeEveryCommit(t *testing.T) {
	kills := often(t, followEnv, followUsual)
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		v := settle(t, "")
		v.live(func() {
			for range kills {
				v.strike(0)
			}
		})
		if err := v.nodes[0].Stop(); err != nil {
			t.Fatal(err)
		}
		v.at[0] = ""
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(v.dir, "0", "galley.db")})
		v.judgeSeen(db, err)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		one := pgtest.Start(t)
		address := one.Database(t)
		two := one.Standby(t)
		address = one.Either(t, address, two)
		v := settle(t, address, address, address)
		v.live(func() {
			for round := range kills {
				for i := range v.nodes {
					v.strike(i)
				}
				if round == 0 {
					one.Kill(t)
					two.Promote(t)
					v.grow(townChanges)
				}
			}
		})
		db, err := postgres.Open(t.Context(), postgres.Config{URL: address})
		v.judgeSeen(db, err)
	})
}

// settle starts the nodes and makes those who live there.
func settle(t *testing.T, addresses ...string) *village {
	t.Helper()
	dir, err := os.MkdirTemp("", "g") // short, because a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	v := &village{dir: dir, ids: map[string][]string{}, fleet: &fleet{T: t,
		seed: uint64(time.Now().UnixNano()), client: &http.Client{Timeout: attempt},
		at: make([]string, len(addresses))}}
	t.Logf("seed %d", v.seed)
	t.Cleanup(func() {
		v.client.CloseIdleConnections()
		for i, n := range v.nodes {
			if v.at[i] != "" {
				if err := n.Stop(); err != nil {
					t.Error(err)
				}
			}
		}
		_ = os.RemoveAll(dir)
	})
	galley, app := filepath.Join(dir, "galley"), filepath.Join(dir, "app")
	if err := server.Build(t.Context(), "../..", galley); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(app, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(app, "galley.yaml"), []byte(town), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, address := range addresses {
		v.nodes = append(v.nodes, &server.Server{Galley: galley, App: app, Database: address,
			Data: filepath.Join(dir, fmt.Sprint(i))})
		v.start(i)
	}
	v.clerk = v.signUp("clerk")
	for i := range townFollowers {
		v.citizens = append(v.citizens, v.signUp(fmt.Sprintf("citizen%d", i)))
	}
	for i := range townRooms {
		room := v.must(v.clerk, "POST", "/api/rooms", fmt.Sprintf(`{"name":"r%d"}`, i))
		v.rooms = append(v.rooms, room["id"].(string))
	}
	return v
}

func (v *village) signUp(name string) citizen {
	v.Helper()
	got := v.must(citizen{}, "POST", "/api/auth/sign-up", fmt.Sprintf(
		`{"email":"%s@example.com","password":"correct horse battery","name":%q,"token":true}`, name, name))
	user, _ := got["user"].(map[string]any)
	id, _ := user["id"].(string)
	token, _ := got["token"].(string)
	return citizen{id, token}
}

// must asks the first node.
func (v *village) must(who citizen, method, path, body string) map[string]any {
	v.Helper()
	status, got, err := v.ask(who, v.at[0], method, path, body)
	if err != nil || status >= 300 {
		v.Fatalf("%s %s is %d %v, %v", method, path, status, got, err)
	}
	return got
}

// ask sends a request to a node.
func (v *village) ask(who citizen, at, method, path, body string) (
	status int, got map[string]any, err error) {
	req, err := http.NewRequestWithContext(v.Context(), method, at+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if who.token != "" {
		req.Header.Set("Authorization", "Bearer "+who.token)
		req.Header.Set("Idempotency-Key", string(ident.NewCall()))
	}
	res, err := v.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &got)
	}
	return res.StatusCode, got, err
}

// strike kills a node in the midst of everything, and starts it again.
func (v *village) strike(i int) {
	v.Helper()
	v.grow(townChanges)
	v.kill(i)
	if len(v.nodes) > 1 {
		v.grow(townChanges / 2)
	}
	v.start(i)
	v.grow(townChanges / 2)
}

// grow waits until so many changes more are made.
func (v *village) grow(n int) {
	v.Helper()
	count := func() int {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.made
	}
	for end, goal := time.Now().Add(patience), count()+n; count() < goal; <-time.After(pause) {
		if time.Now().After(end) {
			v.Fatalf("the service did not resume in %v", patience)
		}
	}
}

// live lets writers and followers loose while faults happen, and lets them come to an end.
func (v *village) live(faults func()) {
	var writers, followers sync.WaitGroup
	ctx, stop := context.WithCancel(v.Context())
	defer stop()
	for i := range uint64(townWriters) {
		writers.Go(func() { v.write(ctx, rand.New(rand.NewPCG(v.seed, i))) })
	}
	for i := range townFollowers {
		who := v.citizens[i]
		if i == 0 {
			who = v.clerk
		}
		rnd := rand.New(rand.NewPCG(v.seed, uint64(100+i)))
		followers.Go(func() { v.follow(ctx, rnd, who) })
	}
	faults()
	v.done.Store(true)
	writers.Wait()
	followers.Wait()
}

// write makes one change after the other at any node. What is not answered may have been
// done or not: the journal tells.
func (v *village) write(ctx context.Context, rnd *rand.Rand) {
	for !v.done.Load() && ctx.Err() == nil {
		_, at := v.pick(rnd)
		method, collection, id, body := v.drawChange(rnd)
		status, got, err := 0, map[string]any(nil), error(nil)
		if at != "" {
			status, got, err = v.ask(v.clerk, at, method, "/api/"+collection+id, body)
		}
		if at == "" || err != nil || status >= 300 {
			if status == http.StatusUnauthorized || status == http.StatusForbidden || status == 400 {
				v.fail("%s %s was answered %d %v", method, collection+id, status, got)
				return
			}
			<-time.After(pause)
			continue
		}
		v.mu.Lock()
		v.made++
		if made, ok := got["id"].(string); ok && method == "POST" {
			v.ids[collection] = append(v.ids[collection], made)
		}
		v.mu.Unlock()
	}
}

// drawChange draws a change; there are never many records.
func (v *village) drawChange(rnd *rand.Rand) (method, collection, id, body string) {
	room := v.rooms[rnd.IntN(len(v.rooms))]
	v.mu.Lock()
	defer v.mu.Unlock()
	take := func(collection string, keep bool) string {
		all := v.ids[collection]
		i := rnd.IntN(len(all))
		id := all[i]
		if !keep {
			v.ids[collection] = append(all[:i:i], all[i+1:]...)
		}
		return "/" + id
	}
	task := fmt.Sprintf(`{"room":%q,"n":%d}`, room, v.n.Add(1))
	switch k := rnd.IntN(10); {
	case k < 2 && len(v.ids["members"]) > 4:
		return "DELETE", "members", take("members", false), ""
	case k < 3:
		who := v.citizens[rnd.IntN(len(v.citizens))]
		return "POST", "members", "", fmt.Sprintf(`{"room":%q,"user":%q}`, room, who.id)
	case k < 5 && len(v.ids["tasks"]) > 20:
		return "DELETE", "tasks", take("tasks", false), ""
	case k < 8 && len(v.ids["tasks"]) > 0:
		return "PATCH", "tasks", take("tasks", true), task
	default:
		return "POST", "tasks", "", task
	}
}

func (v *village) fail(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}
