package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

var _ sqlstore.Dialect = (*dialect)(nil)

// dialect is what PostgreSQL says in its own way.
type dialect struct {
	config *pgconn.Config
	schema string
	// node tells this process from others on the same schema.
	node string
	// epoch counts the changes of the tables' shapes, after which statements are
	// prepared anew.
	epoch atomic.Uint64
}

const (
	// nameMax is the length from which on PostgreSQL cuts names, in bytes.
	nameMax = 63
	// keyMax is the greatest size of an entry of an index, in bytes, with room for
	// what stands around it.
	keyMax = 2600
	// prefixMax is how many characters of a long text an index knows.
	prefixMax = 200
)

// Quote writes a name. One that is too long ends with its hash.
func (*dialect) Quote(name string) string {
	if len(name) > nameMax {
		sum := sha256.Sum256([]byte(name))
		name = strings.ToValidUTF8(name[:nameMax-17], "") + "_" + hex.EncodeToString(sum[:8])
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Placeholder writes the n-th parameter.
func (*dialect) Placeholder(n int) string { return "$" + strconv.Itoa(n) }

// Typed says of what kind a parameter is, where the server could not find out.
func (*dialect) Typed(sql string, kind value.Kind) string {
	switch kind {
	case value.Bool:
		return sql + "::boolean"
	case value.Float:
		return sql + "::float8"
	case value.Int, value.Time, value.Date, value.Duration:
		return sql + "::bigint"
	case value.Absent, value.Null:
		return sql
	default:
		return "(" + sql + `::text COLLATE "C")`
	}
}

// Column is the type of a column. Texts are sorted by their code points. Lists,
// objects and JSON are kept letter by letter, which the types json and jsonb do not do,
// or not in every place.
func (*dialect) Column(t *value.Type) string {
	switch t.ValueKind() {
	case value.Float:
		return "DOUBLE PRECISION"
	case value.Bool:
		return "BOOLEAN"
	case value.Text, value.JSON, value.List, value.Object:
		return `TEXT COLLATE "C"`
	default:
		return "BIGINT"
	}
}

// TableTail leaves room in each page, so that a changed record finds its new place beside
// the old one, and indexes of what did not change stay as they are.
func (*dialect) TableTail() string { return " WITH (fillfactor = 85)" }

// Words are the words in which PostgreSQL differs.
func (d *dialect) Words() sqlstore.Words {
	return sqlstore.Words{Lock: " FOR UPDATE",
		Notify: "NOTIFY " + d.channel() + ", " + quoteText(d.node),
		True:   "TRUE", False: "FALSE", Same: " IS NOT DISTINCT FROM ",
		Plain: true, Number: "::bigint", NullsFirst: " NULLS FIRST", NullsLast: " NULLS LAST",
		Hurry: "SET LOCAL lock_timeout = " + strconv.FormatInt(hurryTime.Milliseconds(), 10),
		Apart: true}
}

// Key writes a column as the key of an index of so many keys. A text may be longer than
// an entry of an index: it is then known by its beginning, or by its hash where it is
// to be unique.
func (*dialect) Key(t *value.Type, column string, of int, unique bool) string {
	switch {
	case t.ValueKind() != value.Text || 4*lengthMax(t) <= keyMax/of:
		return column
	case unique:
		return "md5(" + column + ")"
	default:
		return "left(" + column + ", " + strconv.Itoa(prefixMax/of) + ")"
	}
}

// lengthMax is the greatest length of a text of the type, in characters.
func lengthMax(t *value.Type) int {
	switch {
	case t.Kind == value.TypeRelation || t.Kind == value.TypeID || t.Kind == value.TypeEnum:
		return 64
	case t.Max != nil:
		return int(min(t.Max.Int, value.TextMax))
	case t.Kind == value.TypeString || t.Kind == value.TypeEmail:
		return value.StringMax
	default:
		return value.TextMax
	}
}

// channel is the name under which nodes on this schema hear of each other.
func (d *dialect) channel() string { return d.Quote("galley:" + d.schema) }

// Watch hears of the commits of other processes, on a connection of its own.
func (d *dialect) Watch(ctx context.Context, tell func()) (err error) {
	c, err := pgconn.ConnectConfig(ctx, d.watching(tell))
	if err != nil {
		return gone(err)
	}
	defer func() {
		closing, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		err = errors.Join(err, c.Close(closing))
	}()
	if err := d.listens(ctx, c, d.channel()); err != nil {
		return problem(err)
	}
	for ctx.Err() == nil {
		if err := c.WaitForNotification(ctx); err != nil {
			return gone(err)
		}
	}
	return nil
}

// listens has a new connection hear what is said under a name.
func (d *dialect) listens(ctx context.Context, c *pgconn.PgConn, name string) error {
	ctx, stop := context.WithTimeout(ctx, d.config.ConnectTimeout)
	defer stop()
	_, err := c.Exec(ctx, "LISTEN "+name).ReadAll()
	return err
}

// watching is how the connection that listens is made.
func (d *dialect) watching(tell func()) *pgconn.Config {
	c := d.config.Copy()
	c.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		if n.Payload != d.node {
			tell()
		}
	}
	return c
}

// Tidy does nothing: the server looks after its files.
func (*dialect) Tidy(sqlstore.Conn) error { return nil }
