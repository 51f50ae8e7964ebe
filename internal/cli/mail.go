package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/follow/mail"
)

func (c *command) mail() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mail", Short: "Mails: what was sent, to whom, and who gets none",
		GroupID: groupMore, Args: noCommand,
		Long: "Shows the letters that the app wrote. In dev they stay in the mailbox, with all that is\n" +
			"in them; where they are really sent, only what became of them is kept.",
		Example: "  galley mail list --state parked\n  galley mail show 01k9…",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.listMail(), c.showMail(), c.campaigns(), c.suppressed(),
		c.changeMail("retry <id>", "Send a letter again that failed, or was held back", "retry", "id",
			"waits to be sent"),
		c.changeMail("bounce <address>", "Send nothing to an address any more, as a mail service told",
			"bounce", "address", "gets no mails"),
		c.changeMail("lift <address>", "Let mails go to an address again that bounced", "lift",
			"address", "gets mails again"))
	return cmd
}

func (c *command) listMail() *cobra.Command {
	params := map[string]*string{}
	cmd := &cobra.Command{
		Use: "list", Short: "The newest letters", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"limit": {"50"}}
			for name, v := range params {
				if *v != "" {
					q.Set(name, *v)
				}
			}
			w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			none := true
			err := c.local(cmd.Context(), "/local/mail?"+q.Encode(), func(line []byte) error {
				var l mail.Letter
				if none = false; c.json {
					return c.rawLine(line)
				}
				if err := json.Unmarshal(line, &l); err != nil {
					return err
				}
				state := l.State
				if l.Why != "" {
					state += " · " + l.Why
				}
				_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, when(l.Created),
					l.Email, l.To, clip(l.Subject), clip(state))
				return err
			})
			if err == nil && none && !c.json {
				c.say("none")
			}
			if err != nil {
				return err
			}
			return w.Flush()
		},
	}
	for name, about := range map[string]string{
		"state": "waiting, sent, held, bounced, unknown or parked", "email": "letters of this email",
		"to": "letters to this address", "campaign": "letters of this campaign",
		"limit": "number of letters, at most 1000 (default 50)",
	} {
		params[name] = cmd.Flags().String(name, "", about)
	}
	return cmd
}

func when(t time.Time) string { return t.Local().Format("2 Jan 15:04:05") }

func (c *command) showMail() *cobra.Command {
	var source, page bool
	cmd := &cobra.Command{
		Use: "show <id>", Short: "One letter, with what is in it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/local/mail/" + url.PathEscape(args[0])
			return c.local(cmd.Context(), path, func(line []byte) error {
				if c.json {
					return c.rawLine(line)
				}
				var l mail.Letter
				if err := json.Unmarshal(line, &l); err != nil {
					return err
				}
				switch {
				case source:
					return c.raw([]byte(l.Source), nil)
				case page:
					return c.raw([]byte(l.HTML), nil)
				}
				return c.showLetter(l)
			})
		},
	}
	cmd.Flags().BoolVar(&source, "source", false, "print the whole message")
	cmd.Flags().BoolVar(&page, "html", false, "print the page")
	return cmd
}

func (c *command) showLetter(l mail.Letter) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	state := l.State
	if l.Why != "" {
		state += " · " + l.Why
	}
	rows := [][2]string{{"to", l.To}, {"subject", l.Subject}, {"email", l.Email}, {"state", state},
		{"written", when(l.Created)}}
	for _, x := range []struct {
		name string
		at   *time.Time
	}{{"sent", l.Sent}, {"next try", l.Due}, {"clicked", l.Clicked}} {
		if x.at != nil {
			rows = append(rows, [2]string{x.name, when(*x.at)})
		}
	}
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	if err := w.Flush(); err != nil || l.Text == "" {
		return err
	}
	_, err := fmt.Fprintf(c.out, "\n%s", strings.ReplaceAll(l.Text, "\r\n", "\n"))
	return err
}

func (c *command) campaigns() *cobra.Command {
	return &cobra.Command{
		Use: "campaigns", Short: "The last sendings to sets of people, and how far they are",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			none := true
			err := c.local(cmd.Context(), "/local/campaigns", func(line []byte) error {
				none = false
				if c.json {
					return c.rawLine(line)
				}
				var x mail.Campaign
				if err := json.Unmarshal(line, &x); err != nil {
					return err
				}
				var parts []string
				for _, state := range slices.Sorted(maps.Keys(x.Letters)) {
					parts = append(parts, fmt.Sprintf("%d %s", x.Letters[state], state))
				}
				_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%d of %d written\t%s\n", x.ID, when(x.At),
					x.Email, x.Made, x.Total, strings.Join(parts, ", "))
				return err
			})
			if err == nil && none && !c.json {
				c.say("none")
			}
			if err != nil {
				return err
			}
			return w.Flush()
		},
	}
}

func (c *command) suppressed() *cobra.Command {
	return &cobra.Command{
		Use: "suppressed", Short: "Who gets no mails, or no marketing, and why", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			none := true
			err := c.local(cmd.Context(), "/local/suppressed", func(line []byte) error {
				none = false
				if c.json {
					return c.rawLine(line)
				}
				var p mail.Person
				if err := json.Unmarshal(line, &p); err != nil {
					return err
				}
				var why []string
				if p.Bounced != nil {
					why = append(why, "bounced "+when(*p.Bounced)+" · "+p.Why)
				}
				if p.Unsubscribed != nil {
					why = append(why, "unsubscribed "+when(*p.Unsubscribed))
				}
				_, err := fmt.Fprintf(w, "%s\t%s\n", p.Who, strings.Join(why, ", "))
				return err
			})
			if err == nil && none && !c.json {
				c.say("none")
			}
			if err != nil {
				return err
			}
			return w.Flush()
		},
	}
}

// changeMail is a command that changes what becomes of mails.
func (c *command) changeMail(use, about, what, param, done string) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: use, Short: about, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{param: {args[0]}}
			if why != "" {
				q.Set("why", why)
			}
			path := "/local/mail/" + what + "?" + q.Encode()
			res, err := c.ask(cmd.Context(), as{}, http.MethodPost, path, nil)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				return err
			}
			c.say("%s %s", args[0], done)
			return nil
		},
	}
	if what == "bounce" {
		cmd.Flags().StringVar(&why, "why", "", "what the service said")
	}
	return cmd
}

// rawLine prints a line as it came.
func (c *command) rawLine(line []byte) error {
	_, err := fmt.Fprintf(c.out, "%s\n", line)
	return err
}
