// Command provider is the other side of the example shop: a payment provider, and a carrier
// that knows what parcels cost. It behaves as real ones do. A request with a key that it knows
// gets the first answer again; cards are declined; it is slow, or answers 503, or charges a
// card and then says nothing; what it tells by webhook it tells twice, in no order, and again
// until it is heard. It keeps everything in memory, and its ledger can be asked for, so that
// somebody may compare.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "provider:", err)
		code = 1
	}
	os.Exit(code)
}

// run serves until ctx ends, or until the command ends that the arguments name after the
// flags, whose exit code it returns.
func run(ctx context.Context, args []string) (int, error) {
	flags := flag.NewFlagSet("provider", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:4242", "where it listens")
	app := flags.String("app", ".", "the folder of the shop, with its secrets.dev")
	var o Options
	flags.StringVar(&o.Hook, "hook", "http://127.0.0.1:8080/hooks/stripe", "whom it tells of payments")
	flags.Float64Var(&o.Trouble, "trouble", 0, "the share of requests that go wrong, 0 to 1")
	flags.Float64Var(&o.Refunds, "refunds", 0, "the share of payments that go back by themselves")
	flags.DurationVar(&o.Hang, "hang", 5*time.Second, "how long it says nothing when it hangs")
	if err := flags.Parse(args); err != nil {
		return 2, nil // the flags have said what is wrong
	}
	var err error
	if o.Keys, err = keys(filepath.Join(*app, "secrets.dev")); err != nil {
		return 1, err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return 1, err
	}
	p := New(o)
	defer p.Close()
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	ends := make(chan error, 1)
	go func() { ends <- server.Serve(l) }()
	defer server.Close()
	fmt.Fprintf(os.Stderr, "the provider listens at http://%s\n", l.Addr())
	if flags.NArg() > 0 {
		return beside(ctx, flags.Args())
	}
	select {
	case <-ctx.Done():
		return 0, nil
	case err := <-ends:
		return 1, err
	}
}

// beside runs a command until it ends; when ctx does, it is asked to.
func beside(ctx context.Context, args []string) (int, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	err := cmd.Run()
	if cmd.ProcessState != nil { // it ran, and says itself how that went
		return cmd.ProcessState.ExitCode(), nil
	}
	return 1, err
}

// Keys are what the shop shows the provider and the carrier, and what the provider signs
// its webhooks with.
type Keys struct{ Payment, Webhook, Shipping string }

// keys reads them from the environment, or else from a file with a line NAME=value each.
func keys(path string) (Keys, error) {
	values := map[string]string{}
	file, err := os.Open(path)
	if err == nil {
		defer file.Close()
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			if name, v, ok := strings.Cut(lines.Text(), "="); ok {
				values[strings.TrimSpace(name)] = strings.TrimSpace(v)
			}
		}
		err = lines.Err()
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Keys{}, err
	}
	value := func(name string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return values[name]
	}
	k := Keys{value("STRIPE_KEY"), value("STRIPE_WEBHOOK_KEY"), value("SHIPPING_KEY")}
	if k.Payment == "" || k.Webhook == "" || k.Shipping == "" {
		return k, fmt.Errorf("STRIPE_KEY, STRIPE_WEBHOOK_KEY and SHIPPING_KEY are neither in the "+
			"environment nor in %s", path)
	}
	return k, nil
}
