// Command hello is the first yardstick of the benchmark: a bare net/http server that
// answers every request with one fixed JSON record. It says what the wire itself
// costs and does nothing else.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

const record = `{"id":"01kb3t7z8ve0abcdefghjkmnpq","created":"2026-01-02T03:04:05.678Z",` +
	`"updated":"2026-01-02T03:04:05.678Z","version":1,"name":"Product 000001",` +
	`"about":"The same answer to everybody, whatever is asked.","price":1990,` +
	`"stock":1000000000,"listed":true}`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("hello http://%s\n", l.Addr())
	answer := []byte(record)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/products/{id}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // a client that went away is no fault of the yardstick
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}
