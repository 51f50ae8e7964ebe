package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/transfer"
)

func (c *command) imports() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "import <collection> <file|->", Short: "Bring records in from JSON Lines or CSV",
		GroupID: groupMore, Args: cobra.ExactArgs(2),
		Long: "Brings the records of a file into a collection, many in a commit.\n\n" +
			"The whole file is read first: if a line breaks its types, all such lines are told and\n" +
			"nothing is written. What a check or a unique value refuses is told with its line, and\n" +
			"the other lines are written. Run it again on the same file, mended or not, and nothing\n" +
			"is written twice, so an import that broke off goes on where it was. In users a field password is\n" +
			"the password to sign in with.",
		Example: "  galley import products products.jsonl\n  galley import products prices.csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.runImport(cmd.Context(), args[0], args[1], format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "jsonl or csv (default by the file's name)")
	return cmd
}

func (c *command) runImport(ctx context.Context, collection, name, format string) error {
	if format == "" {
		format = "jsonl"
		if strings.EqualFold(filepath.Ext(name), ".csv") {
			format = "csv"
		}
	}
	if format != "jsonl" && format != "csv" {
		return wrong("the format is jsonl or csv, not %q", format)
	}
	var src io.ReadSeeker
	if name == "-" {
		// The file is read twice, and standard input can be read only once.
		tmp, err := spool(c.in)
		if err != nil {
			return err
		}
		defer os.Remove(tmp.Name())
		defer tmp.Close()
		src = tmp
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		src = f
	}
	door, err := serve.Dial(ctx, c.serveConfig())
	if err != nil {
		return c.opening(err)
	}
	defer door.Close()
	path := "/local/import/" + url.PathEscape(collection) + "?" +
		url.Values{"format": {format}, "name": {filepath.Base(name)}}.Encode()
	if name == "-" {
		name = "stdin"
	}
	checked, err := c.send(ctx, door, path+"&check=1", src, "read", 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if checked.WrongAll > 0 {
		c.wrongLines(name, checked)
		return fmt.Errorf("%s: %d of %s cannot be taken; nothing was written. "+
			"Mend what is wrong and run the same command again", name,
			checked.WrongAll, plural(checked.Done, "line"))
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	res, err := c.send(ctx, door, path, src, "imported", int64(checked.Done))
	if err != nil {
		c.wrongLines(name, res)
		c.say("Written so far: at least %d of %d. The same command goes on from there.",
			res.Done, checked.Done)
		return fmt.Errorf("%s: %w", name, err)
	}
	if c.json {
		if err := c.print(res); err != nil {
			return err
		}
	} else {
		c.say("%s: %d of %s %s in %s", name, res.Done, plural(checked.Done, "record"),
			verb(res.Done, "is", "are"), collection)
		switch {
		case res.There == 1:
			c.say("1 of them was there before, and is as it was")
		case res.There > 1:
			c.say("%d of them were there before, and are as they were", res.There)
		}
		c.wrongLines(name, res)
	}
	if res.WrongAll > 0 {
		return fmt.Errorf("%s refused; mend what is wrong and run the same command again: "+
			"what is in is not written twice", plural(res.WrongAll, "line"))
	}
	c.say("See them:  galley get %s --limit 5%s", collection, c.folders())
	return nil
}

func spool(r io.Reader) (*os.File, error) {
	tmp, err := os.CreateTemp("", "galley-import-*")
	if err != nil {
		return nil, err
	}
	if _, err = io.Copy(tmp, r); err == nil {
		_, err = tmp.Seek(0, io.SeekStart)
	}
	return tmp, err
}

// send sends a file through the local door and reads the lines of the answer.
func (c *command) send(ctx context.Context, door *serve.Door, path string, src io.Reader,
	what string, total int64) (transfer.Result, error) {
	var res transfer.Result
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://galley"+path,
		io.NopCloser(src))
	if err != nil {
		return res, err
	}
	answer, err := door.Do(req)
	if err != nil {
		return res, err
	}
	defer answer.Body.Close()
	p := c.progress(what, total)
	defer p.end()
	ended := false
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var l struct {
			Progress *int64
			Error    string
			transfer.Result
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return res, err
		}
		switch {
		case l.Progress != nil:
			p.at(*l.Progress)
			res.Done = int(*l.Progress) // what is known if the answer breaks off
		case l.Error != "":
			return res, errors.New(l.Error)
		default:
			res, ended = l.Result, true
		}
	}
	if err := lines.Err(); err != nil {
		return res, err
	}
	if !ended {
		return res, errors.New("the answer broke off")
	}
	return res, nil
}

func (c *command) wrongLines(name string, res transfer.Result) {
	for _, w := range res.Wrong {
		if c.json {
			_ = c.print(w) // a pipe that is closed ends the command elsewhere
			continue
		}
		c.say("%s:%d: %s: %s", name, w.Line, w.Code, w.Detail)
	}
	if more := res.WrongAll - len(res.Wrong); more > 0 {
		c.say("… and %d more", more)
	}
}

func (c *command) exports() *cobra.Command {
	var format, to string
	cmd := &cobra.Command{
		Use: "export <collection|journal>", Short: "Take records out, as JSON Lines or CSV",
		GroupID: groupMore, Args: cobra.ExactArgs(1),
		Long: "Writes all records of a collection, in one state of the database and in the order\n" +
			"of their ids, or all entries of the journal. Everything is in it, hidden fields too.",
		Example: "  galley export orders > orders.jsonl\n  galley export orders --format csv\n" +
			"  galley export journal",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.runExport(cmd.Context(), args[0], format, to)
		},
	}
	cmd.Flags().StringVar(&format, "format", "jsonl", "jsonl or csv; the journal is jsonl")
	cmd.Flags().StringVar(&to, "out", "", "file to write (default stdout)")
	return cmd
}

func (c *command) runExport(ctx context.Context, name, format, to string) error {
	if format != "jsonl" && format != "csv" {
		return wrong("the format is jsonl or csv, not %q", format)
	}
	cfg := c.serveConfig()
	cfg.Keep = true
	door, err := serve.Dial(ctx, cfg)
	if err != nil {
		return c.opening(err)
	}
	defer door.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://galley/local/export/"+url.PathEscape(name)+"?format="+format, nil)
	if err != nil {
		return err
	}
	dst := c.out
	var tmp *os.File
	if to != "" {
		// The file appears when it is whole.
		if tmp, err = os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".*"); err != nil {
			return fmt.Errorf("write %s: %w", to, err)
		}
		defer os.Remove(tmp.Name())
		dst = tmp
	}
	res, err := door.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if err != nil {
			return err
		}
		if said := c.unknown("/api/" + name); said != "" && res.StatusCode == http.StatusNotFound {
			return errors.New(said)
		}
		return c.problem(text, res.StatusCode)
	}
	n, err := io.Copy(dst, res.Body)
	if err != nil {
		return fmt.Errorf("the export broke off after %s: %w", plural(int(n), "byte"), err)
	}
	if tmp == nil {
		return nil
	}
	if err = errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), to); err != nil {
		return err
	}
	c.say("  %s %s  %s", c.green("wrote"), to, plural(int(n), "byte"))
	return nil
}
