package serve

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/transport/mailbox"
)

// post is what sends mails.
type post struct {
	mails   *mail.Mails
	server  *outbound.SMTP
	address atomic.Pointer[string]
	// endMail ends the sending, endGrace what is on its way.
	endMail  context.CancelFunc
	endGrace context.CancelFunc
	mailing  sync.WaitGroup
}

// homeURL is the address of an app that nobody else can reach.
const homeURL = "http://localhost:8080"

// checkMail refuses to serve an app that sends emails without saying how.
func (s *Server) checkMail(c Compiled) error {
	if s.cfg.door || len(c.Spec.Emails) == 0 {
		return nil
	}
	_, err := s.cfg.Mail()
	return err
}

// makeMails makes what sends mails; secret is a key that all nodes share.
func (s *Server) makeMails(secret []byte) {
	m, err := s.cfg.Mail()
	s.server = m.Server
	c := mail.Config{
		Store: s.store, Nodes: s.followers,
		App: func() *app.App { return s.engine.App() }, InForce: s.moved,
		From: m.From, Now: s.cfg.Now, Log: s.log, Count: s.worked, Key: derived(secret, "links in mails"),
		URL: func() string {
			if at := s.address.Load(); m.URL == "" && at != nil {
				return *at
			} else if m.URL == "" {
				return homeURL
			}
			return m.URL
		},
	}
	switch {
	case s.cfg.door:
	case err != nil:
		c.Sender = nowhere{err}
	case m.Server != nil:
		c.Sender = m.Server
	}
	s.mails = mail.New(c)
	s.followers.Add(s.mails)
	s.followers.OnWake(s.mails.Wake)
	s.followers.OnClose(s.closeMails)
}

// derived returns a key of its own for a purpose.
func derived(secret []byte, purpose string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// nowhere is a node without a mail server: letters wait for one that has it.
type nowhere struct{ err error }

// Send implements mail.Sender.
func (n nowhere) Send(context.Context, outbound.Mail, func() error) error {
	return &outbound.MailError{Stage: outbound.StageConnect, Err: n.err}
}

// startMails begins to send.
func (s *Server) startMails() {
	if s.cfg.door && s.cfg.database == nil {
		return
	}
	ctx, end := context.WithCancel(context.Background())
	grace, endGrace := context.WithCancel(context.Background())
	s.endMail, s.endGrace = end, endGrace
	s.mailing.Go(func() { s.mails.Run(ctx, grace) })
}

// closeMails ends the sending; mails that are on their way are finished until ctx ends.
func (s *Server) closeMails(ctx context.Context) {
	if s.endMail == nil {
		return
	}
	s.endMail()
	stop := context.AfterFunc(ctx, s.endGrace)
	s.mailing.Wait()
	stop()
	s.endGrace()
	if s.server != nil {
		s.server.Close()
	}
}

// postbox serves the links of mails, and to developers the pages that show them, before
// the app's own pages.
func (s *Server) postbox(next http.Handler, open bool) http.Handler {
	return mailbox.New(mailbox.Config{Mails: s.mails, Open: open, Next: next,
		App: func() string { return s.Spec().App }})
}

// localMail is what commands ask of mails.
func (s *Server) localMail(mux *http.ServeMux) {
	list := func(w http.ResponseWriter, err error, say func(lines)) {
		out := newLines(w)
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			out.say(failure(err))
			return
		}
		say(out)
	}
	mux.HandleFunc("GET /local/mail", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		limit, err := listing(q, mail.ListMax, mail.Waiting, mail.Claimed, mail.Sending, mail.Sent,
			mail.Held, mail.Bounced, mail.Unknown, mail.Parked)
		var found []mail.Letter
		if err == nil {
			found, err = s.mails.List(r.Context(), mail.Filter{Email: q.Get("email"),
				State: q.Get("state"), To: q.Get("to"), Campaign: q.Get("campaign"), Limit: limit})
		}
		list(w, err, func(out lines) {
			for _, l := range found {
				out.say(l)
			}
		})
	})
	mux.HandleFunc("GET /local/mail/{id}", func(w http.ResponseWriter, r *http.Request) {
		l, err := s.mails.Get(r.Context(), ident.Record(r.PathValue("id")))
		list(w, err, func(out lines) { out.say(l) })
	})
	mux.HandleFunc("GET /local/campaigns", func(w http.ResponseWriter, r *http.Request) {
		found, err := s.mails.Campaigns(r.Context())
		list(w, err, func(out lines) {
			for _, c := range found {
				out.say(c)
			}
		})
	})
	mux.HandleFunc("GET /local/suppressed", func(w http.ResponseWriter, r *http.Request) {
		found, err := s.mails.Suppressed(r.Context())
		list(w, err, func(out lines) {
			for _, p := range found {
				out.say(p)
			}
		})
	})
	mux.HandleFunc("POST /local/mail/{what}", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		var err error
		switch r.PathValue("what") {
		case "retry":
			err = s.mails.Retry(r.Context(), ident.Record(q.Get("id")))
		case "bounce":
			err = s.mails.Bounce(r.Context(), q.Get("address"), q.Get("why"))
		case "lift":
			err = s.mails.Lift(r.Context(), q.Get("address"))
		default:
			err = fault.New(fault.NotFound, "There is no such thing to do with a mail.")
		}
		list(w, err, func(out lines) { out.say(struct{}{}) })
	})
	mux.Handle(mailbox.Path, s.postbox(http.NotFoundHandler(), true))
	mux.Handle(mailbox.Path+"/", s.postbox(http.NotFoundHandler(), true))
}
