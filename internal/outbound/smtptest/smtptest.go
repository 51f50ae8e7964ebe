// Package smtptest is a mail server for tests: a real one, that speaks over a real
// connection, with TLS and passwords where a test wants them, keeps what it takes, and
// fails at each stage as a test tells it to.
package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Stage is where a server fails.
type Stage uint8

// The stages at which a server fails. At Body a connection is dropped in the midst of
// the mail, at Answer after the mail was taken.
const (
	Connect Stage = iota
	Mail
	Recipient
	Data
	Body
	Answer
)

// Fault is how a server fails: with an answer of its own, or without a word.
type Fault struct {
	Code   int
	Detail [3]int
	Text   string
	Drop   bool
}

// Options say how a server behaves. The zero value takes everything, without TLS.
type Options struct {
	// TLS offers STARTTLS, Implicit speaks it from the first byte.
	TLS, Implicit bool
	// User and Password must be given, unless User is "".
	User, Password string
	// Fail is asked at each stage; nil means go on. to is "" before the recipient.
	Fail func(stage Stage, to string) *Fault
	// Taken is called with each mail that was taken, before the answer.
	Taken func(Message)
}

// Message is a mail that was taken.
type Message struct {
	From, To string
	Source   []byte
}

// Server is a mail server. It is safe for concurrent use.
type Server struct {
	// Addr is its address; Roots trusts its certificate.
	Addr  string
	Roots *x509.CertPool

	options     Options
	mu          sync.Mutex
	more        *sync.Cond
	mails       []Message
	connections int
	open        map[*smtp.Conn]bool
	listener    net.Listener
}

// New starts a server, which ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(l, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a server on a listener.
func Start(l net.Listener, o Options) (*Server, error) {
	s := &Server{Addr: l.Addr().String(), options: o, listener: l, open: map[*smtp.Conn]bool{}}
	s.more = sync.NewCond(&s.mu)
	server := smtp.NewServer(smtp.BackendFunc(s.session))
	server.Domain, server.AllowInsecureAuth, server.MaxMessageBytes = "localhost", true, 4<<20
	server.ReadTimeout, server.WriteTimeout = time.Minute, time.Minute
	server.ErrorLog = log.New(io.Discard, "", 0)
	if o.TLS || o.Implicit {
		cert, roots, err := certificate()
		if err != nil {
			return nil, err
		}
		s.Roots = roots
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		if o.Implicit {
			l = tls.NewListener(l, server.TLSConfig)
			server.TLSConfig = nil
		}
	}
	go func() { _ = server.Serve(l) }() // it ends with its listener
	return s, nil
}

// Close ends the server and its connections.
func (s *Server) Close() {
	_ = s.listener.Close() // it may be closed already
	s.Drop()
}

// Drop breaks off all connections.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Conn().Close() // it may be closed already
	}
}

// Mails returns what was taken so far.
func (s *Server) Mails() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.mails...)
}

// Connections returns how many connections there were.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

// Wait returns the mails when there are at least n of them.
func (s *Server) Wait(n int) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.mails) < n {
		s.more.Wait()
	}
	return append([]Message(nil), s.mails...)
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	s.connections++
	s.open[c] = true
	s.mu.Unlock()
	x := &session{server: s, conn: c, known: s.options.User == ""}
	if err := x.fail(Connect, ""); err != nil {
		return nil, err
	}
	return x, nil
}

// session is one connection.
type session struct {
	server   *Server
	conn     *smtp.Conn
	known    bool
	from, to string
}

var errDropped = errors.New("dropped")

func (x *session) fail(stage Stage, to string) error {
	if x.server.options.Fail == nil {
		return nil
	}
	f := x.server.options.Fail(stage, to)
	switch {
	case f == nil:
		return nil
	case f.Drop:
		_ = x.conn.Conn().Close() // that is what was asked for
		return errDropped
	}
	detail := smtp.EnhancedCode(f.Detail)
	if f.Detail == [3]int{} {
		detail = smtp.NoEnhancedCode
	}
	return &smtp.SMTPError{Code: f.Code, EnhancedCode: detail, Message: f.Text}
}

// AuthMechanisms names the ways to sign in.
func (x *session) AuthMechanisms() []string {
	if x.server.options.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth signs in.
func (x *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != x.server.options.User || password != x.server.options.Password {
			return smtp.ErrAuthFailed
		}
		x.known = true
		return nil
	}), nil
}

// Mail takes the sender.
func (x *session) Mail(from string, _ *smtp.MailOptions) error {
	if !x.known {
		return smtp.ErrAuthRequired
	}
	x.from = from
	return x.fail(Mail, "")
}

// Rcpt takes the recipient.
func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.to = to
	return x.fail(Recipient, to)
}

// Data takes the mail.
func (x *session) Data(r io.Reader) error {
	if err := x.fail(Data, x.to); err != nil {
		return err
	}
	if err := x.fail(Body, x.to); err != nil {
		return err
	}
	source, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m := Message{From: x.from, To: x.to, Source: source}
	x.server.mu.Lock()
	x.server.mails = append(x.server.mails, m)
	x.server.more.Broadcast()
	x.server.mu.Unlock()
	if x.server.options.Taken != nil {
		x.server.options.Taken(m)
	}
	return x.fail(Answer, x.to)
}

// Reset forgets a mail that was begun.
func (x *session) Reset() { x.from, x.to = "", "" }

// Logout ends the connection.
func (x *session) Logout() error {
	x.server.mu.Lock()
	defer x.server.mu.Unlock()
	delete(x.server.open, x.conn)
	return nil
}

// certificate makes one for this machine, and what trusts it.
func certificate() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	text, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(text)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{text}, PrivateKey: key}, roots, nil
}
