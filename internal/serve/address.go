package serve

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

// schemeFile begins the address of a database in a file.
const schemeFile = "sqlite:"

// schemeServer begins the address of a database of a server.
const schemeServer = "postgres://"

// ExampleDatabase is an address of a database, for the help of commands.
const ExampleDatabase = schemeFile + "/mnt/fast/galley.db"

// ExampleServer is an address of a database that many servers may share.
const ExampleServer = schemeServer + "shop@db.example/shop"

// openAddress opens the database of an address. One in a file must be there.
func openAddress(ctx context.Context, address string) (database, error) {
	if path, ok := strings.CutPrefix(address, schemeFile); ok && path != "" {
		if _, err := os.Stat(path); err != nil {
			return nil, fault.Wrap(fault.NotFound, err, "There is no database at %s.", path)
		}
	}
	return makeAddress(ctx, address)
}

// CodeAddress is the code of an address that cannot be that of a database.
const CodeAddress = "database_address"

// CheckAddress returns a fault if an address cannot be that of a database. It looks at
// nothing but its words.
func CheckAddress(address string) error {
	if path, ok := strings.CutPrefix(address, schemeFile); ok && path != "" {
		return nil
	}
	if !isShared(address) {
		return fault.WithCode(fault.Invalid, CodeAddress, "%q is no address of a database: write "+
			"sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME", shown(address))
	}
	if err := postgres.Check(address); err != nil {
		return fault.WithCode(fault.Invalid, CodeAddress, "%q is no address of a database: %v",
			shown(address), strings.TrimPrefix(err.Error(), "the database's address: "))
	}
	return nil
}

// makeAddress opens the database of an address, and makes a file that is missing.
func makeAddress(ctx context.Context, address string) (database, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	var db database
	var err error
	if path, ok := strings.CutPrefix(address, schemeFile); ok {
		db, err = sqlite.Open(ctx, sqlite.Config{Path: path})
	} else {
		db, err = postgres.Open(ctx, postgres.Config{URL: address})
	}
	if err != nil {
		if isFull(err) {
			err = trouble(address, err)
		}
		return nil, err // and not a store that is nil
	}
	return db, nil
}

// isShared reports whether the address is that of a server of databases, on which other
// processes may be at the same time.
func isShared(address string) bool {
	return strings.HasPrefix(address, schemeServer) || strings.HasPrefix(address, "postgresql://")
}

// ShownAddress is an address as it may be told: without its password.
func ShownAddress(address string) string { return shown(address) }

func shown(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return fmt.Sprint(u.Redacted())
	}
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return "…" + address[at:] // what stands before it may be a password
	}
	return address
}

// sameAddress reports whether two addresses are those of one database.
func sameAddress(a, b string) bool {
	pathA, fileA := strings.CutPrefix(a, schemeFile)
	pathB, fileB := strings.CutPrefix(b, schemeFile)
	if !fileA || !fileB {
		return onServer(a) == onServer(b)
	}
	infoA, errA := os.Stat(pathA)
	infoB, errB := os.Stat(pathB)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// onServer is the place that an address on a server names, whoever goes there: host,
// port, database and schema. An address that says these elsewhere stands for itself.
func onServer(address string) string {
	u, err := url.Parse(address)
	if err != nil || !isShared(address) {
		return address
	}
	words := u.Query()
	for _, name := range []string{"host", "port", "dbname", "user", "search_path", "options"} {
		if words.Has(name) {
			return address
		}
	}
	host, name, schema := u.Host, strings.Trim(u.Path, "/"), words.Get("schema")
	if u.Port() == "" {
		host += ":5432"
	}
	if name == "" {
		name = u.User.Username()
	}
	if schema == "" {
		schema = "public"
	}
	return schemeServer + host + "/" + name + "?schema=" + schema
}
