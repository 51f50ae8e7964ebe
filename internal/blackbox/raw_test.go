package blackbox_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// wireTime bounds what is done over a raw connection.
const wireTime = time.Minute

// dial opens a connection to the server, below HTTP.
func dial(base string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", strings.TrimPrefix(base, "http://"), wireTime)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(wireTime))
}

// rawGet asks for a path exactly as it is written and returns the status.
func rawGet(base, path string) (int, error) {
	c, err := dial(base)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		path); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}
