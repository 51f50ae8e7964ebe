package outbound_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/outbound"
)

// server returns a server on an address of this machine and the count of its requests.
func server(t *testing.T, address string, h http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if h != nil {
			h(w, r)
		}
	}))
	_ = s.Listener.Close() // it has another
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s, &asked
}

func home(t *testing.T) []netip.Prefix {
	t.Helper()
	list, err := outbound.ParseNetworks("127.0.0.0/8, ::1")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// names answers each question with the address of the moment.
func names(answer func() netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			for {
				var size [2]byte
				if _, err := io.ReadFull(theirs, size[:]); err != nil {
					return
				}
				ask := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(theirs, ask); err != nil {
					return
				}
				end := 12
				for ask[end] != 0 {
					end += int(ask[end]) + 1
				}
				end += 5
				out := append([]byte{ask[0], ask[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, ask[12:end]...)
				if ask[end-3] == 1 { // a question for an address of IPv4
					out[7] = 1
					out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
					out = append(out, answer().AsSlice()...)
				}
				out = append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)
				if _, err := theirs.Write(out); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}}
}

func TestThisMachineIsNotReachedBySpelling(t *testing.T) {
	s, asked := server(t, "127.0.0.1:0", nil)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	wall := outbound.New(outbound.Config{})
	defer wall.Close()
	client := wall.Client(outbound.Reach{Timeout: 2 * time.Second})
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST", "127.1", "0177.0.0.1",
		"2130706433", "0x7f000001", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]",
		"[2002:7f00:1::]", "[fe80::1%25lo]", "127.0.0.1."} {
		res, err := client.Get("http://" + host + ":" + port + "/")
		if err == nil {
			_ = res.Body.Close()
			t.Errorf("%s was reached", host)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
	// The control: the same server, where the operator allows it.
	open := outbound.New(outbound.Config{Private: home(t)})
	defer open.Close()
	res, err := open.Client(outbound.Reach{}).Get("http://127.0.0.1:" + port + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if asked.Load() != 1 {
		t.Error("the server that is allowed was not asked")
	}
}

func TestPublicKnowsTheNetworks(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "93.184.215.14": true, "2606:4700::1111": true, "::ffff:1.1.1.1": true,
		"64:ff9b::1.1.1.1": true, "172.15.0.1": true, "172.32.0.1": true, "100.128.0.1": true,
		"10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"100.64.0.1": false, "169.254.169.254": false, "224.0.0.1": false, "239.1.1.1": false,
		"255.255.255.255": false, "0.0.0.0": false, "192.0.0.8": false, "198.18.0.1": false,
		"::": false, "::1": false, "fc00::1": false, "fd12::1": false, "fe80::1": false,
		"ff02::1": false, "fec0::1": false, "::ffff:10.0.0.1": false, "64:ff9b::10.0.0.1": false,
		"64:ff9b::a9fe:a9fe": false, "2002:a00:1::": false, "2001::1": false, "100::1": false,
		"2001:db8::1": false, "::ffff:0:10.0.0.1": false,
	} {
		if got := outbound.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("Public(%s) = %v, want %v", text, got, want)
		}
	}
}

func TestANameThatChangesItsMindLeadsNowhere(t *testing.T) {
	victim, asked := server(t, "127.0.0.1:0", nil)
	_, port, _ := net.SplitHostPort(victim.Listener.Addr().String())
	server(t, "127.0.0.2:"+port, nil)
	var at atomic.Value
	at.Store(netip.MustParseAddr("127.0.0.2"))
	wall := outbound.New(outbound.Config{
		Private:  []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")},
		Resolver: names(func() netip.Addr { return at.Load().(netip.Addr) }),
	})
	defer wall.Close()
	client := wall.Client(outbound.Reach{Hosts: []string{"api.example.com:" + port}})
	url := "http://api.example.com:" + port + "/"
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	wall.Close()
	at.Store(netip.MustParseAddr("127.0.0.1"))
	if _, err := client.Get(url); !errors.Is(err, outbound.ErrAddress) {
		t.Errorf("got %v, want %v", err, outbound.ErrAddress)
	}
	if asked.Load() != 0 {
		t.Error("the server of the second answer was asked")
	}
}

func TestOnlyListedHosts(t *testing.T) {
	s, asked := server(t, "127.0.0.1:0", nil)
	host := s.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(host)
	wall := outbound.New(outbound.Config{Private: home(t)})
	defer wall.Close()
	client := wall.Client(outbound.Reach{Hosts: []string{host}})
	for url, want := range map[string]error{
		"http://localhost:" + port: outbound.ErrHost, "http://127.0.0.1": outbound.ErrHost,
		"https://127.0.0.1": outbound.ErrHost, "http://u:p@" + host: outbound.ErrURL,
		"ftp://" + host: outbound.ErrURL, "http:opaque": outbound.ErrURL, "file:///etc/passwd": outbound.ErrURL,
	} {
		if _, err := client.Get(url); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", url, err, want)
		}
	}
	if asked.Load() != 0 {
		t.Error("the server was asked")
	}
	// A Host that is not that of the URL is not sent.
	req, _ := http.NewRequest("GET", s.URL, nil)
	req.Host = "other.example"
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

func TestWhatIsSentAndWhatIsNot(t *testing.T) {
	var got http.Header
	var host string
	s, _ := server(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		got, host = r.Header, r.Host
	})
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	wall := outbound.New(outbound.Config{Private: home(t)})
	defer wall.Close()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	req, _ := http.NewRequest("POST", s.URL, strings.NewReader("x"))
	req.Host = "other.example"
	req.Header = http.Header{"Connection": {"X-Own"}, "X-Own": {"1"}, "Upgrade": {"h2c"},
		"Proxy-Authorization": {"Basic x"}, "Te": {"trailers"}}
	res, err := wall.Client(outbound.Reach{Trace: trace}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got.Get("Traceparent") != trace || got.Get("User-Agent") != "Galley" ||
		got.Get("X-Own") != "1" || host != s.Listener.Addr().String() {
		t.Errorf("sent %v to %s", got, host)
	}
	for _, name := range []string{"Connection", "Upgrade", "Proxy-Authorization", "Te"} {
		if got[name] != nil {
			t.Errorf("sent %s: %v", name, got[name])
		}
	}
}

func TestRedirectsAreAnswersAndBoundsAreKept(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	s, asked := server(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/secret", http.StatusFound)
		case "/just":
			_, _ = w.Write(make([]byte, 1000))
		case "/known":
			_, _ = w.Write(make([]byte, 1001))
		case "/endless":
			for {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		case "/zip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		case "/slow":
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	})
	wall := outbound.New(outbound.Config{Private: home(t)})
	defer wall.Close()
	client := wall.Client(outbound.Reach{BodyMax: 1000})
	hasty := wall.Client(outbound.Reach{Timeout: 100 * time.Millisecond})
	res, err := client.Get(s.URL + "/away")
	if err != nil || res.StatusCode != http.StatusFound || asked.Load() != 1 {
		t.Fatalf("got %v, %v after %d requests; want one answer 302", res, err, asked.Load())
	}
	_ = res.Body.Close()
	for path, want := range map[string]error{"/just": nil, "/known": outbound.ErrTooLarge,
		"/endless": outbound.ErrTooLarge, "/zip": outbound.ErrTooLarge,
		"/slow": context.DeadlineExceeded} {
		ask := client
		if path == "/slow" {
			ask = hasty
		}
		res, err := ask.Get(s.URL + path)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	s.Config.ErrorLog = nil
	wall := outbound.New(outbound.Config{Private: home(t)})
	defer wall.Close()
	if _, err := wall.Client(outbound.Reach{}).Get(s.URL); err == nil {
		t.Error("a certificate that nobody signed was believed")
	}
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	known := outbound.New(outbound.Config{Private: home(t), Roots: roots})
	defer known.Close()
	res, err := known.Client(outbound.Reach{}).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}
