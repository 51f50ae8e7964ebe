package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/galleybackend/galley/internal/ident"
)

const (
	bodyMax   = 1 << 20
	itemsMax  = 100
	limitMax  = 500
	timeStyle = "2006-01-02T15:04:05.000Z"
)

// pool lends connections. Each prepares a statement when it sees it for the first time.
type pool chan *pgx.Conn

func openPool(ctx context.Context, url string, n int) (pool, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	// A small table that is read as a whole is locked as a whole at SERIALIZABLE.
	config.RuntimeParams["enable_seqscan"] = "off"
	p := make(pool, n)
	for range n {
		c, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return nil, err
		}
		p <- c
	}
	return p, nil
}

// shop answers the calls.
type shop struct{ pool pool }

// problem is an answer that says no.
type problem struct {
	status int
	code   string
}

func (p problem) Error() string { return p.code }

var (
	errNotFound = problem{http.StatusNotFound, "not_found"}
	errSignIn   = problem{http.StatusUnauthorized, "unauthenticated"}
	errStock    = problem{http.StatusConflict, "out_of_stock"}
	errWallet   = problem{http.StatusConflict, "insufficient_funds"}
	errInput    = problem{http.StatusUnprocessableEntity, "invalid_input"}
)

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/products/{id}", s.answer(getProduct))
	mux.HandleFunc("GET /api/products", s.answer(listProducts))
	mux.HandleFunc("POST /api/notes", s.answer(createNote))
	mux.HandleFunc("POST /api/actions/checkout", s.answer(checkout))
	return mux
}

// answer makes a handler of a function that has a connection and returns status and body.
// A client that goes away does not break off what it asked for.
func (s *shop) answer(f func(*pgx.Conn, *http.Request) (int, []byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithoutCancel(r.Context()))
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		c := <-s.pool
		status, body, err := f(c, r)
		s.pool <- c
		kind := "application/json"
		if err != nil {
			var p problem
			if !errors.As(err, &p) {
				log.Print(err)
				p = problem{http.StatusInternalServerError, "internal"}
			}
			kind, status = "application/problem+json", p.status
			body = fmt.Appendf(nil, `{"status":%d,"code":%q}`, p.status, p.code)
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body) // a client that went away hears nothing
	}
}

// user finds who asks by the hash of the bearer token.
func user(c *pgx.Conn, r *http.Request) (id string, err error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errSignIn
	}
	hash := sha256.Sum256([]byte(token))
	err = c.QueryRow(r.Context(), `SELECT "user" FROM sessions WHERE hash = $1 AND expires > $2`,
		hash[:], time.Now()).Scan(&id)
	return id, orNone(err, errSignIn)
}

// orNone returns none for a row that is not there.
func orNone(err, none error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return none
	}
	return err
}

// product is a row of productColumns, written as JSON.
type product struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Version int64     `json:"version"`
	Name    string    `json:"name"`
	About   *string   `json:"about,omitempty"`
	Price   int64     `json:"price"`
	Stock   int64     `json:"stock"`
	Listed  bool      `json:"listed"`
}

const productColumns = `id, created, updated, version, name, about, price, stock, listed`

func (p *product) columns() []any {
	return []any{&p.ID, &p.Created, &p.Updated, &p.Version, &p.Name, &p.About, &p.Price,
		&p.Stock, &p.Listed}
}

func getProduct(c *pgx.Conn, r *http.Request) (int, []byte, error) {
	if r.Header.Get("Authorization") != "" {
		if _, err := user(c, r); err != nil {
			return 0, nil, err
		}
	}
	var p product
	err := c.QueryRow(r.Context(), `SELECT `+productColumns+` FROM products
		WHERE id = $1 AND listed`, r.PathValue("id")).Scan(p.columns()...)
	if err != nil {
		return 0, nil, orNone(err, errNotFound)
	}
	return http.StatusOK, p.append(make([]byte, 0, 512)), nil
}

// listProducts knows the one filter and the one order that the shop's page asks for.
func listProducts(c *pgx.Conn, r *http.Request) (int, []byte, error) {
	query := r.URL.Query()
	bound, ok := strings.CutPrefix(query.Get("filter"), "price <= ")
	price, err1 := strconv.ParseInt(bound, 10, 64)
	limit, err2 := strconv.ParseInt(query.Get("limit"), 10, 64)
	if !ok || err1 != nil || err2 != nil || query.Get("sort") != "-price" ||
		limit < 1 || limit > limitMax {
		return 0, nil, errInput
	}
	rows, err := c.Query(r.Context(), `SELECT `+productColumns+` FROM products
		WHERE listed AND price <= $1 ORDER BY price DESC, id LIMIT $2`, price, limit+1)
	if err != nil {
		return 0, nil, err
	}
	body := append(make([]byte, 0, 16<<10), `{"items":[`...)
	var count, lastPrice int64
	var last string
	var p product
	_, err = pgx.ForEachRow(rows, p.columns(), func() error {
		if count++; count > limit {
			return nil
		}
		if count > 1 {
			body = append(body, ',')
		}
		body = p.append(body)
		last, lastPrice = p.ID, p.Price
		return nil
	})
	body = append(body, ']')
	if count > limit {
		body = append(body, `,"next":"`...)
		body = base64.RawURLEncoding.AppendEncode(body, fmt.Appendf(nil, "%d,%s", lastPrice, last))
		body = append(body, '"')
	}
	return http.StatusOK, append(body, '}'), err
}

func createNote(c *pgx.Conn, r *http.Request) (int, []byte, error) {
	author, err := user(c, r)
	if err != nil {
		return 0, nil, err
	}
	var in struct {
		Title string  `json:"title"`
		Body  *string `json:"body"`
	}
	if err := read(r, &in); err != nil || in.Title == "" {
		return 0, nil, errInput
	}
	id, now := string(ident.NewRecord()), time.Now().UTC().Truncate(time.Millisecond)
	_, err = c.Exec(r.Context(), `INSERT INTO notes
		(id, created, updated, author, title, body) VALUES ($1, $2, $2, $3, $4, $5)`,
		id, now, author, in.Title, in.Body)
	body := appendTimes(append(append(make([]byte, 0, 512), `{"id":"`...), id...), now, now)
	body = append(append(body, `,"version":1,"author":"`...), author...)
	body = appendQuoted(append(body, `","title":`...), in.Title)
	if in.Body != nil {
		body = appendQuoted(append(body, `,"body":`...), *in.Body)
	}
	return http.StatusCreated, append(body, '}'), err
}

// read takes the JSON body, and nothing after it.
func read(r *http.Request, into any) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
