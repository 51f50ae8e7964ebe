package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/galleybackend/galley/bench/cluster"
	"github.com/galleybackend/galley/bench/process"
)

// A target is a server whose changes are followed.
type target struct {
	name string
	// prepare makes the server's command in a folder.
	prepare func(ctx context.Context, b *bench, dir string) (*exec.Cmd, error)
	// subscribe opens a stream on what has the topic.
	subscribe func(ctx context.Context, t *target, topic string) (*stream, error)
	// publish returns the path and the body that make one change.
	publish func(topic string, sent int64) (path, body string)
	// status is that of a change that was made.
	status int
	// ready asks for a 200.
	ready string
	// pong answers an empty object; acks reports that arrivals are acknowledged.
	pong string
	acks bool

	server *process.Server
}

// text is what each change carries beside its time.
const text = "A ticket was dragged from one column of the board to the next."

func galley(name, database string) *target {
	return &target{name: name, status: http.StatusCreated, ready: "/api/health",
		pong: "{}", acks: true,
		prepare: func(ctx context.Context, b *bench, dir string) (*exec.Cmd, error) {
			args := []string{"serve", "--app", "bench/live/app", "--data",
				filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--limits", "off"}
			if database == "postgres" {
				var err error
				if b.cluster == nil {
					if b.cluster, err = cluster.Start(ctx, filepath.Join(b.dir, "cluster")); err != nil {
						return nil, err
					}
				}
				url, err := b.cluster.Create(ctx, "live")
				if err != nil {
					return nil, err
				}
				args = append(args, "--database", url)
			}
			return exec.Command(b.galley, args...), nil
		},
		subscribe: func(ctx context.Context, t *target, topic string) (*stream, error) {
			s, err := dialSocket(ctx, t.server.Addr, "/api/ws", "galley.v1")
			if err != nil {
				return nil, err
			}
			return s, follow(s, 1, topic)
		},
		publish: func(topic string, sent int64) (string, string) {
			return "/api/ticks", fmt.Sprintf(`{"topic":%q,"sent":%d,"text":%q}`, topic, sent, text)
		},
	}
}

// follow follows the latest ticks of a topic.
func follow(s *stream, id int, topic string) error {
	ask := fmt.Sprintf(`{"id":%d,"follow":"ticks","filter":"topic == '%s'","sort":"-id","limit":30}`,
		id, topic)
	if err := s.send(ask); err != nil {
		return err
	}
	for {
		answer, err := s.next()
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(answer), fmt.Sprintf(`{"id":%d,`, id)) {
			if !strings.Contains(string(answer[:min(len(answer), 60)]), `"ok"`) {
				return fmt.Errorf("follow: %.300s", answer)
			}
			return nil
		}
	}
}

// centrifuge is the engine of Centrifugo with its memory broker: messages only, without
// rules and without a database.
func centrifuge() *target {
	return &target{name: "centrifuge", status: http.StatusOK, ready: "/", pong: "{}",
		prepare: func(ctx context.Context, b *bench, dir string) (*exec.Cmd, error) {
			path, err := b.module(ctx, "bench/centrifuge")
			return exec.Command(path), err
		},
		subscribe: func(ctx context.Context, t *target, topic string) (*stream, error) {
			s, err := dialSocket(ctx, t.server.Addr, "/connection/websocket", "")
			if err != nil {
				return nil, err
			}
			if err := s.send(`{"id":1,"connect":{}}` + "\n" +
				`{"id":2,"subscribe":{"channel":"` + topic + `"}}`); err != nil {
				return nil, err
			}
			for {
				answer, err := s.next()
				if err != nil {
					return nil, err
				}
				if strings.Contains(string(answer), `"error"`) {
					return nil, fmt.Errorf("subscribe: %.300s", answer)
				}
				if strings.Contains(string(answer), `"id":2`) {
					return s, nil
				}
			}
		},
		publish: func(topic string, sent int64) (string, string) {
			return "/publish?channel=" + topic, fmt.Sprintf(`{"topic":%q,"sent":%d,"text":%q}`,
				topic, sent, text)
		},
	}
}

// pocketbase sends what it has committed as Server-Sent Events.
func pocketbase() *target {
	return &target{name: "pocketbase", status: http.StatusOK, ready: "/api/health",
		prepare: func(ctx context.Context, b *bench, dir string) (*exec.Cmd, error) {
			path, err := b.module(ctx, "bench/pocketbase")
			return exec.Command(path, "live", dir), err
		},
		subscribe: func(ctx context.Context, t *target, topic string) (*stream, error) {
			s, err := dial(ctx, t.server.Addr, "GET /api/realtime HTTP/1.0\r\nHost: "+t.server.Addr+
				"\r\nAccept: text/event-stream\r\n\r\n", http.StatusOK)
			if err != nil {
				return nil, err
			}
			s.events = true
			for {
				line, err := s.next()
				if err != nil {
					return nil, err
				}
				data, ok := strings.CutPrefix(string(line), "data:")
				if !ok {
					continue
				}
				var client struct {
					ID string `json:"clientId"`
				}
				if err := json.Unmarshal([]byte(data), &client); err != nil {
					return nil, err
				}
				status, body, err := post(ctx, t.server.Addr, "/api/realtime",
					fmt.Sprintf(`{"clientId":%q,"subscriptions":["ticks/*"]}`, client.ID))
				if err == nil && status != http.StatusNoContent {
					err = fmt.Errorf("subscribe: status %d: %.300s", status, body)
				}
				return s, err
			}
		},
		publish: func(topic string, sent int64) (string, string) {
			return "/api/collections/ticks/records",
				fmt.Sprintf(`{"topic":%q,"sent":%d,"text":%q}`, topic, sent, text)
		},
	}
}

// module builds a module that stays out of Galley's own.
func (b *bench) module(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(b.dir, filepath.Base(dir))
	build := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%.800s", dir, err, text)
	}
	return path, nil
}
