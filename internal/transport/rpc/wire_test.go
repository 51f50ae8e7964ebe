package rpc_test

import (
	"context"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/serve"
)

// asIs sends and receives messages as they are.
type asIs struct{}

func (asIs) Name() string                  { return "proto" }
func (asIs) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (asIs) Unmarshal(data []byte, v any) error {
	if m, ok := v.(proto.Message); ok { // a problem
		return proto.Unmarshal(data, m)
	}
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

// send asks with the bytes of a message.
func (p *person) send(name string, message []byte) error {
	p.w.t.Helper()
	m := p.w.method(name)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := connect.NewRequest(&message)
	r.Header().Set("Authorization", "Bearer "+p.token)
	r.Header().Set("Idempotency-Key", string(ident.NewRecord()))
	_, err := connect.NewClient[[]byte, []byte](p.http, p.w.base+"/"+string(m.Parent().FullName())+"/"+
		string(m.Name()), append(p.how, connect.WithCodec(asIs{}))...).CallUnary(ctx, r)
	return err
}

func appendVarint(dst []byte, number protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), n)
}

func appendText(dst []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), text)
}

// admin asks as an admin, whom no allow binds, as commands do.
func (w *world) admin(method, path, body string) (int, string) {
	w.t.Helper()
	door, err := serve.Dial(context.Background(), w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	defer door.Close()
	r, err := http.NewRequest(method, "http://galley"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := door.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
