package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func (c *command) deliveries() *cobra.Command {
	cmd := &cobra.Command{
		Use: "deliveries", Short: "Calls to other people's hooks: see them, send them again",
		GroupID: groupMore, Args: noCommand,
		Example: "  galley deliveries list --state failed\n  galley deliveries retry 01k9…",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	params := map[string]*string{}
	list := &cobra.Command{
		Use: "list", Short: "The newest deliveries", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, v := range params {
				if *v != "" {
					q.Set(name, *v)
				}
			}
			return c.listLocal(cmd, "/local/deliveries?"+q.Encode())
		},
	}
	for name, about := range map[string]string{
		"state": "waiting, sending, done or failed", "name": "deliveries of this name",
		"limit": "number of deliveries, at most 1000", "cursor": "the next of an earlier answer",
	} {
		params[name] = list.Flags().String(name, "", about)
	}
	cmd.AddCommand(list,
		&cobra.Command{Use: "show <id>", Short: "A delivery with what is sent", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				res, err := c.ask(cmd.Context(), as{}, http.MethodGet,
					"/local/deliveries/"+url.PathEscape(args[0]), nil)
				if err != nil {
					return err
				}
				return c.show(res, false)
			}},
		&cobra.Command{Use: "retry <id>", Short: "Send a delivery again, under the same id",
			Args: cobra.ExactArgs(1),
			Long: "One that failed or that arrived is sent anew; one that waits for its next try is\n" +
				"tried at once.",
			RunE: func(cmd *cobra.Command, args []string) error {
				res, err := c.ask(cmd.Context(), as{}, http.MethodPost,
					"/local/deliveries/"+url.PathEscape(args[0])+"/retry", nil)
				if err != nil {
					return err
				}
				text, err := io.ReadAll(res.Body)
				if err != nil || c.json {
					return c.raw(text, err)
				}
				var d struct{ Name, Record, State string }
				if err := json.Unmarshal(text, &d); err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.out, "%s · %s → %s\n", d.Name, d.Record, d.State)
				return err
			}})
	return cmd
}
