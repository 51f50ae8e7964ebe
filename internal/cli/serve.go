package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/transport/mailbox"
)

// runs gives a command that serves its flags.
func (c *command) runs(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.config.Listen, "listen", "",
		"address of the app (default 127.0.0.1:8080); port 0 chooses one")
	f.StringVar(&c.config.Admin, "admin", "", "address of /metrics, not for the public (default none)")
	f.StringVar(&c.config.Limits, "limits", "on", "rate limits: on, or off for benches and tests alone")
}

func (c *command) checkLimits() error {
	switch c.config.Limits {
	case "on", "off":
		return nil
	}
	return wrong("--limits is on or off, not %q", c.config.Limits)
}

func (c *command) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the app, without reload", GroupID: groupWeek,
		Args: cobra.NoArgs,
		Long: "Serves the app until it is told to end. Starts only if the app has no errors, each\n" +
			"secret has a value, and the change of the schema, if there is one, is safe. Where\n" +
			"several servers share a database, a new app is taken by all of them, and one that was\n" +
			"superseded does not come back by a restart (see galley migrate apply). Writes one line\n" +
			"of JSON for each call to stderr.",
		Example: "  galley serve --listen 0.0.0.0:8080 --admin 127.0.0.1:9090 --data /var/lib/shop\n" +
			"  galley serve --database " + serve.ExampleServer,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkLimits(); err != nil {
				return err
			}
			tuneMemory()
			buffer := observe.NewBuffer(c.err)
			ctx, stop := context.WithCancel(context.WithoutCancel(cmd.Context()))
			done := make(chan struct{})
			go func() { buffer.Run(ctx); close(done) }()
			defer func() { stop(); <-done }()
			cfg := c.serveConfig()
			cfg.Calls, cfg.Log = buffer, slog.New(slog.NewJSONHandler(buffer, nil))
			s, err := serve.Open(cmd.Context(), cfg)
			if err != nil {
				return c.opening(err)
			}
			address, err := s.Listen()
			if err != nil {
				return errors.Join(err, s.Close())
			}
			fmt.Fprintf(c.out, "galley serves %s at %s\n", s.Spec().App, address)
			if s.Admin() != "" {
				fmt.Fprintf(c.out, "metrics at %s/metrics\n", s.Admin())
			}
			settled := time.AfterFunc(settleTime, settle)
			defer settled.Stop()
			return s.Run(cmd.Context())
		},
	}
	c.runs(cmd)
	return cmd
}

func (c *command) dev() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "dev", Short: "Serve the app and reload it at each save", GroupID: groupWeek,
		Args: cobra.NoArgs,
		Long: "Serves the app on this machine alone, reads it again at each save, applies safe\n" +
			"changes of the schema at once, fills an empty database from seed/*.jsonl, and writes\n" +
			"types for the editor into .galley/. A save that is broken never takes the app down.",
		Example: "  galley dev\n  galley dev --app examples/shop --listen 127.0.0.1:0\n" +
			"  galley dev --types web/src/galley.ts",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkLimits(); err != nil {
				return err
			}
			return c.runDev(cmd.Context(), once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "open the app, write the types, and end")
	cmd.Flags().StringVar(&c.types, "types", "", "where to write the types of @galley/client as well")
	c.runs(cmd)
	return cmd
}

func (c *command) runDev(ctx context.Context, once bool) error {
	c.config.Dev = true
	start := time.Now()
	watch, err := c.watch()
	if err != nil {
		return err
	}
	defer watch.Close()
	s, err := c.openDev(ctx, watch, once)
	if err != nil {
		return err
	}
	if err := c.editor(s); err != nil {
		return errors.Join(err, s.Close())
	}
	seeded, err := c.seed(ctx, s)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	if once {
		c.say("%s opens: %s", s.Spec().App, summary(s.Spec()))
		return s.Close()
	}
	address, err := s.Listen()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	accounts, err := s.Accounts(ctx)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	c.banner(s, address, accounts)
	c.line("ready in %s%s", spent(start), seeded)
	ends := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	defer stop()
	go func() { ends <- s.Run(running) }()
	for {
		select {
		case err := <-ends:
			return err
		case name, ok := <-watch.changed:
			if !ok {
				stop()
				return <-ends
			}
			c.reload(ctx, s, name)
		}
	}
}

// openDev opens the app. One that is broken is told, and tried again at each save.
func (c *command) openDev(ctx context.Context, w *watcher, once bool) (*serve.Server, error) {
	cfg := c.serveConfig()
	cfg.Terminal = observe.NewTerminal(c.err, c.color)
	cfg.Log = slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for {
		if err := c.keepNumbers(); err != nil {
			return nil, err
		}
		s, err := serve.Open(ctx, cfg)
		if err == nil {
			return s, nil
		}
		err = c.opening(err)
		var e exit
		if !errors.As(err, &e) || once {
			return nil, err
		}
		c.line("waiting for a save that mends it")
		select {
		case <-w.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *command) banner(s *serve.Server, address string, accounts []serve.Account) {
	c.say("\n  %s · %s    galley %s\n", s.Spec().App, summary(s.Spec()), Version)
	fmt.Fprintf(c.out, "  App      %s\n", address)
	fmt.Fprintf(c.out, "  API      %s/api\n", address)
	fmt.Fprintf(c.out, "           %s/api/openapi.json and asyncapi.json say what it takes\n", address)
	fmt.Fprintf(c.out, "  gRPC     %s, the same port, with reflection\n",
		strings.TrimPrefix(address, "http://"))
	if len(s.Spec().Emails) > 0 {
		fmt.Fprintf(c.out, "  Mailbox  %s%s\n", address, mailbox.Path)
	}
	if s.Admin() != "" {
		fmt.Fprintf(c.out, "  Metrics  %s/metrics\n", s.Admin())
	}
	if len(accounts) > 0 {
		fmt.Fprintf(c.out, "  Sign in  %s\n", signsIn(accounts))
	}
	c.say("")
}

// accountsMax bounds the accounts that are named.
const accountsMax = 6

// signsIn names accounts with what to sign in with.
func signsIn(accounts []serve.Account) string {
	more := ""
	if n := len(accounts) - accountsMax; n > 0 {
		accounts, more = accounts[:accountsMax], fmt.Sprintf(", and %d more of the seed", n)
	}
	var said []string
	for i, a := range accounts {
		text := a.Email
		if i == len(accounts)-1 || accounts[i+1].Password != a.Password {
			text += fmt.Sprintf(" (password: %q)", a.Password)
		}
		said = append(said, text)
	}
	return strings.Join(said, ", ") + more
}

// line says something with the time of day.
func (c *command) line(format string, args ...any) {
	c.say("  %s  %s", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func spent(since time.Time) string {
	return time.Since(since).Round(time.Millisecond).String()
}

// editor writes the types and the schema that the editor reads.
func (c *command) editor(s *serve.Server) error {
	if c.program.Files != nil {
		return nil // an embedded app has no folder
	}
	files := map[string][]byte{}
	for name, text := range serve.Editor(s.Compiled()) {
		path := filepath.Join(c.config.AppDir(), filepath.FromSlash(name))
		if name == "tsconfig.json" && exists(path) {
			continue // it is the developer's own
		}
		files[path] = text
	}
	if c.types != "" {
		files[c.types] = codegen.Client(s.Spec())
	}
	for path, text := range files {
		if old, err := os.ReadFile(path); err == nil && string(old) == string(text) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// seed fills an empty database from seed/<collection>.jsonl, in the order in which
// the app file declares the collections.
func (c *command) seed(ctx context.Context, s *serve.Server) (string, error) {
	counts, err := s.Seed(ctx)
	if err != nil {
		return "", err
	}
	var said []string
	for _, n := range counts {
		said = append(said, fmt.Sprintf("%d %s", n.Records, n.Collection))
	}
	if len(said) == 0 {
		return "", nil
	}
	return " · seeded " + strings.Join(said, ", "), nil
}

// reload reads the app again and says what came of it.
func (c *command) reload(ctx context.Context, s *serve.Server, name string) {
	start := time.Now()
	if err := c.keepNumbers(); err != nil {
		c.line("%s was not written: %v", codegen.LockFile, err)
	}
	findings, files, err := s.Reload(ctx)
	var plan *serve.UnsafePlan
	switch {
	case errors.As(err, &plan):
		c.line("%s changed · still serving the last good version: the change is not safe", name)
		c.undecided(plan.Plan)
	case err != nil:
		c.line("%s changed · %s · still serving the last good version", name, c.sentence(err))
	case serve.Failed(findings):
		_ = c.findings(findings, files) // a terminal that is gone reads nothing
		c.line("%s changed · %s · still serving the last good version", name, counted(findings))
	default:
		_ = c.findings(findings, files)
		c.line("%s changed · reloaded in %s", name, spent(start))
		if err := c.editor(s); err != nil {
			c.line("the types were not written: %v", err)
		}
	}
}

// watcher tells which of the app's files was saved, once for a burst of events.
type watcher struct {
	*fsnotify.Watcher
	changed chan string
}

// calm is how long a burst of saves may go on before the app is read again.
const calm = 40 * time.Millisecond

// foldersMax bounds the folders below an app that are watched.
const foldersMax = 500

// watch watches the app's folders, besides those of the database and of other tools.
func (c *command) watch() (*watcher, error) {
	w := &watcher{changed: make(chan string, 1)}
	var err error
	if w.Watcher, err = fsnotify.NewWatcher(); err != nil {
		return nil, fmt.Errorf("watch the app's folder: %w", err)
	}
	if c.program.Files == nil {
		if err := w.below(c.config.AppDir(), c.config.DataDir()); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	go w.run(c.config.AppDir(), c.config.DataDir())
	return w, nil
}

// below adds a folder and those in it.
func (w *watcher) below(dir, data string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since; an app that is not there is told by those who read it
		case err != nil:
			return fmt.Errorf("watch %s: %w", path, err)
		case !d.IsDir():
			return nil
		case path != dir && foreign(path, data):
			return filepath.SkipDir
		case len(w.WatchList()) >= foldersMax:
			return fmt.Errorf("watch %s: an app has at most %d folders", path, foldersMax)
		}
		if err := w.Add(path); err != nil {
			return fmt.Errorf("watch %s: %w", path, err)
		}
		return nil
	})
}

// foreign reports whether a folder below the app's is none of its sources.
func foreign(path, data string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, ".") || name == "node_modules" ||
		filepath.Clean(path) == filepath.Clean(data)
}

func (w *watcher) run(dir, data string) {
	defer close(w.changed)
	var name string
	quiet := time.NewTimer(time.Hour)
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			if info, err := os.Stat(e.Name); err == nil && info.IsDir() {
				if e.Has(fsnotify.Create) && !foreign(e.Name, data) {
					_ = w.below(e.Name, data) // what cannot be watched is read at the next save
					name = relative(dir, e.Name)
					quiet.Reset(calm) // files may have come before it was watched
				}
				continue
			}
			if !source(e.Name) || e.Op == fsnotify.Chmod {
				continue
			}
			name = relative(dir, e.Name)
			quiet.Reset(calm)
		case <-quiet.C:
			w.changed <- name
		case _, ok := <-w.Errors:
			if !ok {
				return
			}
		}
	}
}

// relative is a path as it reads below dir.
func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil {
		return rel
	}
	return path
}

// source reports whether a file is part of an app.
func source(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".ts", ".js", ".json", ".mjs", ".tsx", ".age":
		base := filepath.Base(name)
		return !strings.HasPrefix(base, ".") && base != "tsconfig.json"
	}
	return false
}
