// Package outbound is the only way out of the house: whatever Galley asks of another
// server goes through a Wall. The wall judges each address when the connection is made,
// after its name was resolved, so that a name that leads to a private network, now or
// a moment later, leads nowhere. It follows no redirects, believes no proxy settings of
// the environment, verifies certificates, and bounds the time and the size of answers.
// Which servers are asked, for whom and how often, is decided by those who use it.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Bounds of what is asked of others, unless a Reach names its own.
const (
	// Timeout is how long one request may take, from the look-up of the name to the
	// last byte of the answer.
	Timeout = 30 * time.Second
	// BodyMax is the greatest size of an answer's body, in bytes, as it is read:
	// what was compressed counts with its full size.
	BodyMax = 10 << 20
	// HeaderMax is the greatest size of an answer's head, in bytes.
	HeaderMax = 64 << 10
	// connectTime bounds one connection, handshakeTime its TLS.
	connectTime   = 10 * time.Second
	handshakeTime = 10 * time.Second
	// idleTime is how long a connection is kept for another request, idleHost how
	// many are kept to one host and idleAll in all.
	idleTime = 60 * time.Second
	idleHost = 16
	idleAll  = 128
)

// Errors that say which part of the wall stood in the way. They name no more than a
// host or an address.
var (
	// ErrAddress is the end of a connection to an address that is not of the public
	// internet.
	ErrAddress = errors.New("the address is not public")
	// ErrHost is the end of a request to a host that is not on the list.
	ErrHost = errors.New("the host is not one that may be asked")
	// ErrURL is the end of a request whose URL is not http or https with a host, or
	// has a user in it.
	ErrURL = errors.New("the URL is not one that may be asked for")
	// ErrTooLarge is the end of an answer over its bound.
	ErrTooLarge = errors.New("the answer is too large")
)

// Config is what a Wall is made of. The zero value lets the public internet be reached
// and nothing else.
type Config struct {
	// Private are networks that may be reached though they are not public: those
	// that the operator names.
	Private []netip.Prefix
	// Resolver looks names up; nil means the machine's.
	Resolver *net.Resolver
	// Roots verify certificates; nil means the machine's.
	Roots *x509.CertPool
	// World answers HTTP requests in place of the network, where an app is tried; nil
	// means the network.
	World http.RoundTripper
}

// Wall stands between the house and the world. It is safe for concurrent use.
type Wall struct {
	private   []netip.Prefix
	dialer    net.Dialer
	transport *http.Transport
	world     http.RoundTripper
}

// New returns a wall.
func New(c Config) *Wall {
	w := &Wall{private: slices.Clone(c.Private)}
	w.dialer = net.Dialer{Timeout: connectTime, Resolver: c.Resolver, ControlContext: w.control}
	w.transport = &http.Transport{
		Proxy:                  nil, // who set a variable of the environment is not asked
		DialContext:            w.dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshakeTime,
		MaxResponseHeaderBytes: HeaderMax,
		MaxIdleConns:           idleAll,
		MaxIdleConnsPerHost:    idleHost,
		IdleConnTimeout:        idleTime,
		ForceAttemptHTTP2:      true,
	}
	if w.world = c.World; w.world == nil {
		w.world = w.transport
	}
	return w
}

// Close ends the connections that are kept for later requests.
func (w *Wall) Close() { w.transport.CloseIdleConnections() }

// Dial connects to an address, which the wall judges. It is for protocols other than
// HTTP.
func (w *Wall) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return w.dialer.DialContext(ctx, network, address)
}

// control judges the address to which a socket is about to be connected.
func (w *Wall) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return fmt.Errorf("%w: %s %s", ErrAddress, network, address)
	}
	ip := to.Addr().WithZone("").Unmap()
	if Public(ip) || slices.ContainsFunc(w.private, func(p netip.Prefix) bool {
		return p.Contains(ip)
	}) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrAddress, ip)
}

// Reach says how far one client goes. The zero value may ask every host of the public
// internet, within the bounds of this package.
type Reach struct {
	// Hosts are the hosts that may be asked, each as host:port in small letters; nil
	// means all.
	Hosts []string
	// Timeout bounds one request, 0 means Timeout; BodyMax an answer's body in bytes,
	// 0 means BodyMax.
	Timeout time.Duration
	BodyMax int64
	// Trace is the traceparent that requests carry, "" for none; one that a request
	// has already stays.
	Trace string
}

// Client returns a client for requests within a reach. It follows no redirect: an
// answer that is one is returned as it came. Clients of one wall share its connections,
// so that one is made for each piece of work without a cost.
func (w *Wall) Client(r Reach) *http.Client {
	if r.Timeout == 0 {
		r.Timeout = Timeout
	}
	if r.BodyMax == 0 {
		r.BodyMax = BodyMax
	}
	return &http.Client{Transport: &gate{wall: w, reach: r}, Timeout: r.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
}

// gate lets the requests of one client through.
type gate struct {
	wall  *Wall
	reach Reach
}

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.check(r); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // it was not sent, which err says
		}
		return nil, err
	}
	own := r.Clone(r.Context())
	own.Host = "" // that of the URL, and no other
	if own.Header.Get("User-Agent") == "" {
		own.Header.Set("User-Agent", agent)
	}
	if g.reach.Trace != "" && own.Header.Get("Traceparent") == "" {
		own.Header.Set("Traceparent", g.reach.Trace)
	}
	for _, name := range hopByHop {
		own.Header.Del(name)
	}
	res, err := g.wall.world.RoundTrip(own)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close() // nothing of it is wanted
		return nil, errors.New("the other side changed the protocol, which nobody asked for")
	}
	if res.ContentLength > g.reach.BodyMax {
		_ = res.Body.Close()
		return nil, tooLarge(g.reach.BodyMax)
	}
	res.Body = &bounded{ReadCloser: res.Body, left: g.reach.BodyMax, most: g.reach.BodyMax}
	return res, nil
}

// agent is how we name ourselves.
const agent = "Galley"

// hopByHop are headers between two neighbours, which no request of ours passes on.
var hopByHop = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// check judges a request before a name is looked up.
func (g *gate) check(r *http.Request) error {
	u := r.URL
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" ||
		u.User != nil {
		return ErrURL
	}
	if g.reach.Hosts == nil {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	host := net.JoinHostPort(strings.ToLower(u.Hostname()), port)
	if !slices.Contains(g.reach.Hosts, host) {
		return fmt.Errorf("%w: %s", ErrHost, host)
	}
	return nil
}

// bounded is a body of at most a number of bytes.
type bounded struct {
	io.ReadCloser
	left, most int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLarge(b.most)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more tells an answer over the bound from one that just fits
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, tooLarge(b.most)
	}
	return n, err
}

func tooLarge(most int64) error {
	return fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, most)
}
