package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/backup"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/serve"
)

func (c *command) backup() *cobra.Command {
	var verify string
	cmd := &cobra.Command{
		Use: "backup [file]", Short: "Copy everything into one file, while the app is served",
		GroupID: groupWeek, Args: cobra.MaximumNArgs(1),
		Long: "Writes the records, the journal and the app's schema, as they are at one moment, into\n" +
			"a file that was not there, and reads it back: its hash, its counts, and that the\n" +
			"records are exactly what the journal has made. The app is served meanwhile. The file is\n" +
			"good for every database that galley knows. It holds passwords' hashes: keep it safe.",
		Example: "  galley backup\n  galley backup /mnt/backups/shop.galley\n" +
			"  galley backup --verify shop.galley",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case verify != "" && len(args) > 0:
				return wrong("--verify has a file of its own; nothing is written")
			case verify != "":
				return c.runVerify(cmd.Context(), verify)
			case len(args) == 1:
				return c.runBackup(cmd.Context(), args[0])
			}
			return c.runBackup(cmd.Context(), c.backupName())
		},
	}
	cmd.Flags().StringVar(&verify, "verify", "", "read this backup back, and write nothing")
	return cmd
}

// backupName is the name of a backup that is made now.
func (c *command) backupName() string {
	app := "galley"
	if compiled := serve.Compile(c.serveConfig()); compiled.Spec != nil && compiled.Spec.App != "" {
		app = compiled.Spec.App
	}
	return app + "-" + time.Now().UTC().Format("20060102T150405Z") + ".galley"
}

func (c *command) runBackup(ctx context.Context, name string) error {
	start := time.Now()
	copied := c.progress("copied MB", 0)
	var verified *progress
	var saved backup.Saved
	err := serve.Backup(ctx, c.serveConfig(), func(from io.Reader) (err error) {
		saved, err = backup.Save(ctx, name, from, backup.Report{
			Copied: func(bytes int64) { copied.at(bytes / 1e6) },
			Verified: func(rows int64) {
				if verified == nil {
					copied.end()
					verified = c.progress("verified rows", 0)
				}
				verified.at(rows)
			},
		})
		return err
	})
	copied.end()
	if verified != nil {
		verified.end()
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; a backup is never written over", name)
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.print(saved)
	}
	c.say("  %s  %s  %s  %s and %s up to entry %s  (%s)", saved.File, bytesText(saved.Bytes),
		c.green("verified"), plural(int(saved.All()), "record"),
		plural(int(saved.Entries), "commit"), saved.Seq, spent(start))
	return nil
}

func (c *command) runVerify(ctx context.Context, name string) error {
	start := time.Now()
	p := c.progress("verified rows", 0)
	sum, err := backup.VerifyFile(ctx, name, p.at)
	p.end()
	if err != nil {
		return err
	}
	if c.json {
		return c.print(sum)
	}
	c.say("  %s  %s  %s of %s, %s and %s up to entry %s  (%s)", name, c.green("verified"),
		orNone(sum.App), sum.Made.Format(time.RFC3339), plural(int(sum.All()), "record"),
		plural(int(sum.Entries), "commit"), sum.Seq, spent(start))
	return nil
}

func orNone(name string) string {
	if name == "" {
		return "an app"
	}
	return name
}

// bytesText is a size as people read it.
func bytesText(n int64) string {
	switch {
	case n < 1e3:
		return plural(int(n), "byte")
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
}

func (c *command) restore() *cobra.Command {
	var to, from string
	var replace bool
	cmd := &cobra.Command{
		Use: "restore <file>", Short: "Make the database from a backup, as it was at any moment",
		GroupID: groupMore, Args: cobra.ExactArgs(1),
		Long: "Makes the database of the data folder from a backup: all of it, or nothing. The folder\n" +
			"must be empty unless --replace says that what is in it may go, and no server may run.\n\n" +
			"--to names a moment: an instant, or the place of the last entry that counts (galley why\n" +
			"shows places). The journal in the backup leads to any moment before it was made; with\n" +
			"--journal, that of the database it was made of leads to later ones. Sessions and\n" +
			"passwords have no journal: they are as they were when the backup was made.",
		Example: "  galley restore shop.galley --data /var/lib/shop\n" +
			"  galley restore shop.galley --to 2026-11-21T08:59:30Z --data before\n" +
			"  galley restore shop.galley --to 10482 --data before",
		RunE: func(cmd *cobra.Command, args []string) error {
			moment, err := parseMoment(to)
			if err != nil {
				return err
			}
			return c.runRestore(cmd.Context(), args[0], serve.RestoreOptions{Journal: from,
				Options: backup.Options{To: moment, Replace: replace}})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "an instant or the place of an entry (default the end)")
	cmd.Flags().StringVar(&from, "journal", "",
		"database whose journal goes on after the backup, such as "+
			serve.ExampleDatabase)
	cmd.Flags().BoolVar(&replace, "replace", false, "let go of what is in the database")
	return cmd
}

// parseMoment reads an instant or the place of an entry.
func parseMoment(text string) (backup.Moment, error) {
	if text == "" {
		return backup.Moment{}, nil
	}
	if seq, err := journal.ParseSeq(text); err == nil && seq != (journal.Seq{}) {
		return backup.Moment{Seq: seq}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05",
		"2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return backup.Moment{At: at}, nil
		}
	}
	return backup.Moment{}, wrong("--to is an instant such as 2026-11-21T08:59:30Z, or the place "+
		"of an entry such as 10482, and not %q", text)
}

func (c *command) runRestore(ctx context.Context, name string, o serve.RestoreOptions) error {
	start := time.Now()
	for _, address := range []string{c.config.DatabaseAddr(), o.Journal} {
		if address == "" {
			continue
		}
		if err := serve.CheckAddress(address); err != nil {
			return err
		}
	}
	// A restore lets go of what is there, so the whole file is read before.
	p := c.progress("verified rows", 0)
	sum, err := backup.VerifyFile(ctx, name, p.at)
	p.end()
	if err != nil {
		return err
	}
	f, err := backup.Open(name)
	if err != nil {
		return err
	}
	p = c.progress("restored rows", sum.Entries+sum.All())
	o.Done = p.at
	out, err := serve.Restore(ctx, c.serveConfig(), f, o)
	p.end()
	if err = errors.Join(err, f.Close()); err != nil {
		if faultCode(err) == backup.CodeNotEmpty {
			return fmt.Errorf("%s\n  into a new one:  %s       in its place:  --replace",
				c.sentence(err), c.another())
		}
		return err
	}
	if c.json {
		return c.print(out)
	}
	at := ""
	if out.Entries > 0 {
		at = " of " + out.At.Format(time.RFC3339)
	}
	c.say("  %s %s: %s and %s up to entry %v%s  (%s)", c.green("restored"), serve.ShownAddress(c.config.DatabaseAddr()),
		plural(int(backup.End{Records: out.Records}.All()), "record"),
		plural(int(out.Entries), "commit"), out.Seq, at, spent(start))
	if o.Journal == "" && out.Seq == sum.Seq && o.To.At.After(sum.Made) {
		c.say("  the backup was made before that moment, and this is its end; to go on from there:  "+
			"--journal %s --replace", serve.ExampleDatabase)
	}
	for _, name := range out.Left {
		c.say("  the records of %s have another form since, and were left out", strings.TrimPrefix(name, "_"))
	}
	return nil
}

// another is the flag that names another database of the same kind.
func (c *command) another() string {
	if c.config.InFolder() {
		return "--data DIR"
	}
	return "--database ADDRESS"
}

func faultCode(err error) string {
	if f := faultOf(err); f != nil {
		return f.CodeOr()
	}
	return ""
}
