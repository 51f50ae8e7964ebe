package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/galleybackend/galley/internal/ident"
)

const (
	productCount = 100_000
	userCount    = 100
	// stockEach and walletEach never run out in a run: refusals are not measured.
	stockEach  = 1_000_000_000
	walletEach = 1_000_000_000_000
	password   = "a long pass phrase for the bench"
)

// product is a line of products.jsonl.
type product struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	About  string `json:"about"`
	Price  int64  `json:"price"`
	Cost   int64  `json:"cost"`
	Stock  int64  `json:"stock"`
	Listed bool   `json:"listed"`
}

// user is a line of users.jsonl.
type user struct {
	ID       string `json:"id"`
	Email    string `json:"email"`
	Name     string `json:"name"`
	Wallet   int64  `json:"wallet"`
	Password string `json:"password"`
}

// fixture is the shop that every target is loaded with.
type fixture struct {
	products string // the path of products.jsonl
	users    string
	listed   []string // ids that anybody may read
	people   []user
}

// makeFixture writes the files into dir. One product in twenty is not listed.
func makeFixture(dir string) (*fixture, error) {
	f := &fixture{
		products: filepath.Join(dir, "products.jsonl"),
		users:    filepath.Join(dir, "users.jsonl"),
	}
	chance := rand.New(rand.NewPCG(1, 2))
	err := writeLines(f.products, productCount, func(i int) any {
		p := product{
			ID:   string(ident.NewRecord()),
			Name: fmt.Sprintf("Product %06d", i),
			About: fmt.Sprintf("The %06d-th thing of the shop. It is as good as the one before"+
				" it, and somebody wrote a sentence or two to say so.", i),
			Price: 100 + chance.Int64N(20_000),
			Stock: stockEach, Listed: i%20 != 7,
		}
		p.Cost = p.Price / 2
		if p.Listed {
			f.listed = append(f.listed, p.ID)
		}
		return p
	})
	if err != nil {
		return nil, err
	}
	err = writeLines(f.users, userCount, func(i int) any {
		u := user{
			ID:    string(ident.NewRecord()),
			Email: fmt.Sprintf("buyer%03d@example.com", i),
			Name:  fmt.Sprintf("Buyer %03d", i), Wallet: walletEach, Password: password,
		}
		f.people = append(f.people, u)
		return u
	})
	return f, err
}

func writeLines(path string, count int, line func(i int) any) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	e := json.NewEncoder(w)
	for i := range count {
		if err := e.Encode(line(i)); err != nil {
			_ = file.Close() // the first error counts
			return err
		}
	}
	if err := w.Flush(); err != nil {
		_ = file.Close() // the first error counts
		return err
	}
	return file.Close()
}
