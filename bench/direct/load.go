package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// sessionTime is how long the sessions made by load are good.
const sessionTime = 24 * time.Hour

// load makes the database in dir out of the files of the fixture, with a session for
// each user, and writes the tokens in the order of the users to tokens.json.
func load(dir, products, users string) error {
	db, err := open(filepath.Join(dir, "direct.db"))
	if err != nil {
		return err
	}
	if err := db.Exec(schema); err != nil {
		return err
	}
	if err := db.exec("BEGIN"); err != nil {
		return err
	}
	now := time.Now().UTC().Format(timeStyle)
	err = lines(products, func(line []byte) error {
		var p struct {
			ID, Name, About    string
			Price, Cost, Stock int64
			Listed             bool
		}
		if err := json.Unmarshal(line, &p); err != nil {
			return err
		}
		listed := int64(0)
		if p.Listed {
			listed = 1
		}
		return db.exec(`INSERT INTO products
			(id, created, updated, name, about, price, cost, stock, listed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			p.ID, now, now, p.Name, p.About, p.Price, p.Cost, p.Stock, listed)
	})
	if err != nil {
		return err
	}
	var tokens []string
	err = lines(users, func(line []byte) error {
		var u struct {
			ID, Email, Name string
			Wallet          int64
		}
		if err := json.Unmarshal(line, &u); err != nil {
			return err
		}
		err := db.exec(`INSERT INTO users (id, created, updated, email, name, wallet)
			VALUES (?, ?, ?, ?, ?, ?)`, u.ID, now, now, u.Email, u.Name, u.Wallet)
		if err != nil {
			return err
		}
		token := rand.Text() + rand.Text()
		tokens = append(tokens, token)
		hash := sha256.Sum256([]byte(token))
		return db.exec(`INSERT INTO sessions (hash, user, expires) VALUES (?, ?, ?)`,
			hash[:], u.ID, time.Now().Add(sessionTime).Unix())
	})
	if err != nil {
		return err
	}
	if err := db.exec("COMMIT"); err != nil {
		return err
	}
	if err := db.Exec("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	text, err := json.Marshal(tokens)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tokens.json"), text, 0o600)
}

// lines calls each with every line of a file.
func lines(path string, each func([]byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if err := each(s.Bytes()); err != nil {
			return err
		}
	}
	return s.Err()
}
