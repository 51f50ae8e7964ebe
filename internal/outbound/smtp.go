package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// Bounds of a conversation with a mail server.
const (
	// smtpConnect bounds the way to a server that is ready for mail, smtpCommand each
	// command, smtpAnswer the answer to a whole mail.
	smtpConnect = 20 * time.Second
	smtpCommand = time.Minute
	smtpAnswer  = 5 * time.Minute
	// smtpIdle is how long a connection is kept for another mail, smtpMails how many
	// go over one.
	smtpIdle  = 20 * time.Second
	smtpMails = 100
)

// SMTP hands mails to a mail server. Its connections are kept for the mails that follow.
// It is safe for concurrent use; how many mails go at once is the caller's.
type SMTP struct {
	host, port string
	user       string
	password   string
	// implicit speaks TLS from the first byte, plain allows a server without any.
	implicit, plain bool
	name            string
	tls             *tls.Config

	mu     sync.Mutex
	idle   []*session
	closed bool
}

// ParseSMTP returns the server of an address: smtp://USER:PASSWORD@HOST:587, where TLS
// begins with STARTTLS, or smtps://USER:PASSWORD@HOST:465. Without TLS no mail is sent,
// but to this machine, or where the address ends with ?tls=off; and no password is ever
// sent without it. An error holds nothing of the address that may be secret.
func ParseSMTP(address string) (*SMTP, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.Fragment != "" ||
		u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, errors.New("the address of a mail server is written " +
			"smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465, " +
			"with % signs for what is no letter or digit in a password")
	}
	s := &SMTP{host: u.Hostname(), port: u.Port(), user: u.User.Username(), name: ownName(),
		implicit: u.Scheme == "smtps"}
	s.password, _ = u.User.Password()
	if s.port == "" {
		s.port = map[bool]string{false: "587", true: "465"}[s.implicit]
	}
	ip := net.ParseIP(s.host)
	home := s.host == "localhost" || ip != nil && ip.IsLoopback()
	switch q := u.RawQuery; {
	case q == "tls=off" && s.implicit:
		return nil, errors.New("smtps:// is TLS; without it write smtp://…?tls=off")
	case q == "tls=off" && s.password != "" && !home:
		return nil, errors.New("a password is not sent without TLS: remove ?tls=off, or the password")
	case q != "" && q != "tls=off":
		return nil, fmt.Errorf("the address of a mail server knows only ?tls=off")
	default:
		s.plain = q == "tls=off" || home && !s.implicit
	}
	s.tls = &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	return s, nil
}

// ownName is how this machine names itself to a mail server.
func ownName() string {
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") {
		return name
	}
	return "localhost"
}

// Trust has the certificates of servers judged by the configuration, whose name of the
// server is filled in. It is called before the first mail, in tests.
func (s *SMTP) Trust(c *tls.Config) {
	s.tls = c.Clone()
	s.tls.ServerName = s.host
}

// Host returns the server's name and port, for people.
func (s *SMTP) Host() string { return net.JoinHostPort(s.host, s.port) }

// Mail is a message in its envelope: From and To are bare addresses, Source is the
// message with its headers.
type Mail struct {
	From   string
	To     string
	Source []byte
}

// Stage is how far a mail had come when it failed.
type Stage uint8

// The stages. Until StageData nothing of the mail was accepted; at StageAnswer nobody
// knows, unless the server said no.
const (
	StageConnect Stage = iota
	StageSender
	StageRecipient
	StageData
	StageAnswer
)

// String names the stage.
func (s Stage) String() string {
	return [...]string{"connect", "sender", "recipient", "data", "answer"}[s]
}

// MailError is why a mail was not sent, or not known to be.
type MailError struct {
	Stage Stage
	// Code is the server's answer, 0 if the connection failed; Detail its three numbers
	// such as 5.1.1, "" if it named none.
	Code   int
	Detail string
	Err    error
}

// Error says what failed and what the server said.
func (e *MailError) Error() string { return fmt.Sprintf("%s: %v", e.Stage, e.Err) }

// Unwrap returns the cause.
func (e *MailError) Unwrap() error { return e.Err }

// Unknown reports whether the mail may have been accepted.
func (e *MailError) Unknown() bool { return e.Stage == StageAnswer && e.Code == 0 }

// Final reports whether the same mail would be refused again.
func (e *MailError) Final() bool { return e.Code >= 500 && e.Stage != StageConnect }

// NoRecipient reports whether the server said that the address gets no mail at all: that
// there is no such address, and not that it dislikes the sender or the mail.
func (e *MailError) NoRecipient() bool {
	if !e.Final() || e.Stage != StageRecipient {
		return false
	}
	switch e.Code {
	case 550, 551, 553, 554, 556:
		return e.Detail == "" && e.Code != 554 || strings.HasPrefix(e.Detail, "5.1.") ||
			e.Detail == "5.2.1"
	}
	return false
}

var enhanced = regexp.MustCompile(`^([245]\.\d{1,3}\.\d{1,3})\b`)

func mailError(stage Stage, err error) error {
	out := &MailError{Stage: stage, Err: err}
	var said *textproto.Error
	if errors.As(err, &said) && said.Code >= 400 {
		out.Code = said.Code
		if m := enhanced.FindStringSubmatch(said.Msg); m != nil {
			out.Detail = m[1]
		}
	}
	return out
}

// Send hands over one mail. ready is called when the server takes the recipient, just
// before the mail itself; if it fails, nothing is sent and its error is returned. Any
// other error is a *MailError. A context that ends breaks the connection off.
func (s *SMTP) Send(ctx context.Context, m Mail, ready func() error) error {
	for fresh := false; ; fresh = true {
		c, err := s.session(ctx, fresh)
		if err != nil {
			return err
		}
		used := c.mails > 0
		err = c.begin(ctx, m)
		var failed *MailError
		gone := errors.As(err, &failed) && (failed.Code == 0 || failed.Code == 421)
		if gone && used && ctx.Err() == nil {
			_ = c.conn.Close() // nothing was begun on it
			continue           // the server had closed a connection that was kept
		}
		if err == nil {
			err = c.deliver(ctx, m, ready)
		}
		s.release(c, err)
		return err
	}
}

// session returns a connection on which the server is ready for a mail.
func (s *SMTP) session(ctx context.Context, fresh bool) (*session, error) {
	s.mu.Lock()
	for n := len(s.idle); n > 0 && !fresh; n = len(s.idle) {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		if c.timer.Stop() {
			s.mu.Unlock()
			return c, nil
		}
	}
	s.mu.Unlock()
	c, err := s.connect(ctx)
	if err != nil {
		return nil, mailError(StageConnect, err)
	}
	return c, nil
}

// release keeps a connection that is good for another mail.
func (s *SMTP) release(c *session, err error) {
	var failed *MailError
	if errors.As(err, &failed) && failed.Code == 0 {
		// A goodbye would end the mail that was begun, and the server take half of it.
		_ = c.conn.Close() // it is broken already
		return
	}
	s.mu.Lock()
	if failed != nil && failed.Code == 421 || s.closed || c.mails >= smtpMails {
		s.mu.Unlock()
		c.end()
		return
	}
	c.timer = time.AfterFunc(smtpIdle, func() { s.forget(c) })
	s.idle = append(s.idle, c)
	s.mu.Unlock()
}

// forget ends a connection that nobody used for a while.
func (s *SMTP) forget(c *session) {
	s.mu.Lock()
	for i, x := range s.idle {
		if x == c {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	c.end()
}

// Close ends the connections that are kept, and those that are in use after their mail.
func (s *SMTP) Close() {
	s.mu.Lock()
	s.closed = true
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, c := range idle {
		if c.timer.Stop() {
			c.end()
		}
	}
}

// connect opens a connection, up to the point where the server takes mail.
func (s *SMTP) connect(ctx context.Context) (c *session, err error) {
	ctx, cancel := context.WithTimeout(ctx, smtpConnect)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.Host())
	if err != nil {
		return nil, err
	}
	defer breakOff(ctx, conn)()
	defer func() {
		if err != nil {
			_ = conn.Close() // the error that counts is there
		}
	}()
	secure := s.implicit
	wire := conn
	if s.implicit {
		tc := tls.Client(conn, s.tls)
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		wire = tc
	}
	client, err := smtp.NewClient(wire, s.host)
	if err != nil {
		return nil, err
	}
	if err := client.Hello(s.name); err != nil {
		return nil, err
	}
	if ok, _ := client.Extension("STARTTLS"); ok && !s.implicit {
		if err := client.StartTLS(s.tls); err != nil {
			return nil, err
		}
		secure = true
	}
	if !secure && !s.plain {
		return nil, errors.New("the server offers no TLS")
	}
	if s.user != "" {
		if err := s.signIn(client, secure); err != nil {
			return nil, err
		}
	}
	return &session{conn: conn, client: client}, nil
}

// signIn proves who sends, in the strongest way that the server offers.
func (s *SMTP) signIn(c *smtp.Client, secure bool) error {
	_, offered := c.Extension("AUTH")
	known := " " + strings.ToUpper(offered) + " "
	ip := net.ParseIP(s.host)
	open := secure || s.host == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case strings.Contains(known, " SCRAM-SHA-256 "):
		return c.Auth(smtp.ScramSHA256Auth(s.user, s.password))
	case strings.Contains(known, " PLAIN ") && open:
		return c.Auth(smtp.PlainAuth("", s.user, s.password, s.host, true))
	case strings.Contains(known, " LOGIN ") && open:
		return c.Auth(smtp.LoginAuth(s.user, s.password, s.host, true))
	case strings.Contains(known, " CRAM-MD5 "):
		return c.Auth(smtp.CRAMMD5Auth(s.user, s.password))
	}
	return errors.New("the server offers no way to sign in that is known")
}

// breakOff ends what waits on a connection when ctx ends, or its deadline comes, until
// the returned function is called.
func breakOff(ctx context.Context, conn net.Conn) func() {
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // on a closed connection nothing waits
	})
	return func() { stop() }
}

// session is a connection to the server.
type session struct {
	conn   net.Conn
	client *smtp.Client
	mails  int
	timer  *time.Timer
}

// within bounds what is asked next.
func (c *session) within(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.conn.SetDeadline(time.Now().Add(d))
}

// begin names the sender, which is also the first word on a connection that was kept.
func (c *session) begin(ctx context.Context, m Mail) error {
	defer breakOff(ctx, c.conn)()
	err := c.within(ctx, smtpCommand)
	if err == nil && c.mails > 0 {
		err = c.client.Reset()
	}
	if err == nil {
		err = c.client.Mail("<" + m.From + ">")
	}
	if err != nil {
		return mailError(StageSender, err)
	}
	return nil
}

// deliver hands over the mail whose sender was named.
func (c *session) deliver(ctx context.Context, m Mail, ready func() error) error {
	defer breakOff(ctx, c.conn)()
	c.mails++
	if err := c.client.Rcpt("<" + m.To + ">"); err != nil {
		return mailError(StageRecipient, err)
	}
	if err := ready(); err != nil {
		return err
	}
	if err := c.within(ctx, smtpCommand); err != nil {
		return mailError(StageData, err)
	}
	w, err := c.client.Data()
	if err == nil {
		_, err = w.Write(m.Source)
	}
	if err != nil {
		return mailError(StageData, err)
	}
	if err := c.within(ctx, smtpAnswer); err != nil {
		return mailError(StageData, err)
	}
	if err := w.Close(); err != nil {
		return mailError(StageAnswer, err)
	}
	return nil
}

// end says goodbye, as far as the server still listens.
func (c *session) end() {
	_ = c.conn.SetDeadline(time.Now().Add(time.Second)) // whatever happens, it is over
	_ = c.client.Quit()
	_ = c.conn.Close()
}
