package main

import (
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

	"github.com/ncruces/go-sqlite3"

	"github.com/galleybackend/galley/internal/ident"
)

const (
	bodyMax   = 1 << 20
	itemsMax  = 100
	limitMax  = 500
	timeStyle = "2006-01-02T15:04:05.000Z"
)

// shop answers the calls.
type shop struct {
	readers readers
	writer  writer
}

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
	mux.HandleFunc("GET /api/products/{id}", answer(s.getProduct))
	mux.HandleFunc("GET /api/products", answer(s.listProducts))
	mux.HandleFunc("POST /api/notes", answer(s.createNote))
	mux.HandleFunc("POST /api/actions/checkout", answer(s.checkout))
	return mux
}

// answer makes a handler of a function that returns status and body.
func answer(f func(*http.Request) (int, []byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		status, body, err := f(r)
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
func (s *shop) user(r *http.Request) (string, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errSignIn
	}
	hash := sha256.Sum256([]byte(token))
	db := <-s.readers
	defer func() { s.readers <- db }()
	var user string
	found, err := db.one(`SELECT user FROM sessions WHERE hash = ? AND expires > ?`,
		func(row *sqlite3.Stmt) { user = row.ColumnText(0) }, hash[:], time.Now().Unix())
	if err == nil && !found {
		err = errSignIn
	}
	return user, err
}

const productColumns = `id, created, updated, version, name, about, price, stock, listed`

func (s *shop) getProduct(r *http.Request) (int, []byte, error) {
	if r.Header.Get("Authorization") != "" {
		if _, err := s.user(r); err != nil {
			return 0, nil, err
		}
	}
	db := <-s.readers
	defer func() { s.readers <- db }()
	var body []byte
	found, err := db.one(`SELECT `+productColumns+` FROM products WHERE id = ? AND listed = 1`,
		func(row *sqlite3.Stmt) { body = appendProduct(make([]byte, 0, 512), row) },
		r.PathValue("id"))
	if err == nil && !found {
		err = errNotFound
	}
	return http.StatusOK, body, err
}

// listProducts knows the one filter and the one order that the shop's page asks for.
func (s *shop) listProducts(r *http.Request) (int, []byte, error) {
	query := r.URL.Query()
	bound, ok := strings.CutPrefix(query.Get("filter"), "price <= ")
	price, err1 := strconv.ParseInt(bound, 10, 64)
	limit, err2 := strconv.ParseInt(query.Get("limit"), 10, 64)
	if !ok || err1 != nil || err2 != nil || query.Get("sort") != "-price" ||
		limit < 1 || limit > limitMax {
		return 0, nil, errInput
	}
	db := <-s.readers
	defer func() { s.readers <- db }()
	body := append(make([]byte, 0, 16<<10), `{"items":[`...)
	var count, lastPrice int64
	var last string
	err := db.all(`SELECT `+productColumns+` FROM products WHERE listed = 1 AND price <= ?
		ORDER BY price DESC, id LIMIT ?`,
		func(row *sqlite3.Stmt) {
			if count++; count > limit {
				return
			}
			if count > 1 {
				body = append(body, ',')
			}
			body = appendProduct(body, row)
			if count == limit {
				last, lastPrice = row.ColumnText(0), row.ColumnInt64(6)
			}
		}, price, limit+1)
	body = append(body, ']')
	if count > limit {
		body = append(body, `,"next":"`...)
		body = base64.RawURLEncoding.AppendEncode(body, fmt.Appendf(nil, "%d,%s", lastPrice, last))
		body = append(body, '"')
	}
	return http.StatusOK, append(body, '}'), err
}

func (s *shop) createNote(r *http.Request) (int, []byte, error) {
	user, err := s.user(r)
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
	id, now := string(ident.NewRecord()), time.Now().UTC().Format(timeStyle)
	var text any
	if in.Body != nil {
		text = *in.Body
	}
	err = s.writer.write(func(db *database) error {
		return db.exec(`INSERT INTO notes (id, created, updated, author, title, body)
			VALUES (?, ?, ?, ?, ?, ?)`, id, now, now, user, in.Title, text)
	})
	body := append(make([]byte, 0, 512), `{"id":"`...)
	body = append(body, id...)
	body = append(body, `","created":"`...)
	body = append(body, now...)
	body = append(body, `","updated":"`...)
	body = append(body, now...)
	body = append(body, `","version":1,"author":"`...)
	body = append(body, user...)
	body = append(body, `","title":`...)
	body = appendQuoted(body, []byte(in.Title))
	if in.Body != nil {
		body = append(body, `,"body":`...)
		body = appendQuoted(body, []byte(*in.Body))
	}
	return http.StatusCreated, append(body, '}'), err
}

type item struct {
	Product  string `json:"product"`
	Quantity int64  `json:"quantity"`
}

func (s *shop) checkout(r *http.Request) (int, []byte, error) {
	user, err := s.user(r)
	if err != nil {
		return 0, nil, err
	}
	var in struct {
		Items []item `json:"items"`
	}
	if err := read(r, &in); err != nil || len(in.Items) == 0 || len(in.Items) > itemsMax {
		return 0, nil, errInput
	}
	for _, item := range in.Items {
		if item.Quantity < 1 || item.Quantity > 99 {
			return 0, nil, errInput
		}
	}
	order := string(ident.NewRecord())
	var balance int64
	err = s.writer.write(func(db *database) error {
		var err error
		balance, err = buy(db, user, order, in.Items)
		return err
	})
	body := append(make([]byte, 0, 128), `{"order":"`...)
	body = append(body, order...)
	body = append(body, `","balance":`...)
	body = strconv.AppendInt(body, balance, 10)
	return http.StatusOK, append(body, '}'), err
}

// buy is the transaction: it reads the buyer and each product, takes the stock and the
// money, and writes the order.
func buy(db *database, user, order string, items []item) (balance int64, err error) {
	now := time.Now().UTC().Format(timeStyle)
	var wallet, total int64
	found, err := db.one(`SELECT wallet FROM users WHERE id = ?`,
		func(row *sqlite3.Stmt) { wallet = row.ColumnInt64(0) }, user)
	if err != nil || !found {
		return 0, orElse(err, errSignIn)
	}
	prices := make([]int64, len(items))
	for i, item := range items {
		var stock int64
		found, err := db.one(`SELECT price, stock FROM products WHERE id = ? AND listed = 1`,
			func(row *sqlite3.Stmt) { prices[i], stock = row.ColumnInt64(0), row.ColumnInt64(1) },
			item.Product)
		if err != nil || !found {
			return 0, orElse(err, errNotFound)
		}
		if stock < item.Quantity {
			return 0, errStock
		}
		total += prices[i] * item.Quantity
		err = db.exec(`UPDATE products SET stock = ?, updated = ?, version = version + 1
			WHERE id = ?`, stock-item.Quantity, now, item.Product)
		if err != nil {
			return 0, err
		}
	}
	if wallet < total {
		return 0, errWallet
	}
	err = db.exec(`UPDATE users SET wallet = ?, updated = ?, version = version + 1
		WHERE id = ?`, wallet-total, now, user)
	if err != nil {
		return 0, err
	}
	err = db.exec(`INSERT INTO orders (id, created, updated, customer, status, total)
		VALUES (?, ?, ?, ?, 'paid', ?)`, order, now, now, user, total)
	if err != nil {
		return 0, err
	}
	for i, item := range items {
		err := db.exec(`INSERT INTO order_items
			(id, created, updated, "order", product, quantity, price)
			VALUES (?, ?, ?, ?, ?, ?, ?)`,
			string(ident.NewRecord()), now, now, order, item.Product, item.Quantity, prices[i])
		if err != nil {
			return 0, err
		}
	}
	return wallet - total, nil
}

// read takes the JSON body, and nothing after it.
func read(r *http.Request, into any) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
