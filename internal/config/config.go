// Package config is where an app runs, apart from what it is: folders, addresses,
// limits and the values of secrets. It reads flags' values and the environment, and
// leaves the app file to spec.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/galleybackend/galley/internal/outbound"
)

// Config is the operator's part. The zero value serves the app in this folder.
type Config struct {
	// App is the folder of galley.yaml; default ".".
	App string
	// Data is the folder of what this server keeps: the database, if it is a file, the
	// socket for commands and the stories of the last requests; default App/data.
	Data string
	// Database is the address of the database: postgres://USER:PASSWORD@HOST/NAME, or
	// sqlite:PATH; default what the environment has as GALLEY_DATABASE, or else a file in
	// the folder of data.
	Database string
	// Listen is the address of the app; default 127.0.0.1:8080. Port 0 chooses one.
	Listen string
	// Admin is the address of /metrics; "" means none. It is not for the public.
	Admin string
	// Limits is "" for on, or "off", which is for benches and tests alone.
	Limits string
	// Dev reloads, explains and seeds; it never runs in production.
	Dev bool
	// Log is "" for the form that suits the terminal, or json.
	Log string
}

// AppDir returns the folder of the app file.
func (c Config) AppDir() string {
	if c.App == "" {
		return "."
	}
	return c.App
}

// DataDir returns the folder of the database.
func (c Config) DataDir() string {
	if c.Data == "" {
		return filepath.Join(c.AppDir(), "data")
	}
	return c.Data
}

// DatabaseEnv is the variable of the environment with the address of the database. It
// has a password, which is nothing for a command line.
const DatabaseEnv = "GALLEY_DATABASE"

// DatabaseAddr returns the address of the database.
func (c Config) DatabaseAddr() string {
	if c.Database != "" {
		return c.Database
	}
	if address := os.Getenv(DatabaseEnv); address != "" {
		return address
	}
	return "sqlite:" + filepath.Join(c.DataDir(), "galley.db")
}

// InFolder reports whether the database is a file in the folder of data, and not named.
func (c Config) InFolder() bool { return c.Database == "" && os.Getenv(DatabaseEnv) == "" }

// Socket returns the path of the socket by which commands reach a running server.
func (c Config) Socket() string { return filepath.Join(c.DataDir(), "galley.sock") }

// Journeys returns the folder of the last requests' stories.
func (c Config) Journeys() string { return filepath.Join(c.DataDir(), "journeys") }

// ListenAddr returns the address of the app.
func (c Config) ListenAddr() string {
	if c.Listen == "" {
		return "127.0.0.1:8080"
	}
	return c.Listen
}

// PrivateEnv is the variable of the environment with the networks that an app may reach
// although they are not of the public internet, separated by commas: 10.1.0.0/16.
const PrivateEnv = "GALLEY_PRIVATE_NETWORKS"

// privateDev are the networks that may be reached while developing, if no others are
// named: this machine.
const privateDev = "127.0.0.0/8, ::1"

// PrivateNetworks returns the networks that may be reached although they are not
// public: those that the operator names, and while developing this machine.
func (c Config) PrivateNetworks() ([]netip.Prefix, error) {
	text := os.Getenv(PrivateEnv)
	if text == "" && c.Dev {
		text = privateDev
	}
	list, err := outbound.ParseNetworks(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", PrivateEnv, err)
	}
	return list, nil
}

// Alone reports whether only this machine can reach the app's address.
func (c Config) Alone() bool {
	host, _, err := net.SplitHostPort(c.ListenAddr())
	ip, bad := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || bad == nil && ip.IsLoopback())
}
