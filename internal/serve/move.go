package serve

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transfer"
)

// MoveRequest says from where to where. Both are addresses of databases; From may be
// empty, and stands for the database that the app has now.
type MoveRequest struct{ From, To string }

// moveLine is a line of the answer of a move.
type moveLine struct {
	Progress *transfer.Progress `json:"progress,omitempty"`
	Moved    *transfer.Moved    `json:"moved,omitempty"`
	failed
}

// Move moves the app's database: in the server that runs on the data folder, which
// then goes on with the new one, or, if none runs, in this process. told gets how far
// it has come.
func Move(ctx context.Context, cfg Config, r MoveRequest, told func(transfer.Progress)) (
	transfer.Moved, error) {
	if r.From == "" && !cfg.InFolder() {
		r.From = cfg.DatabaseAddr()
	}
	if err := errors.Join(CheckAddress(cmp.Or(r.From, cfg.DatabaseAddr())),
		CheckAddress(r.To)); err != nil {
		return transfer.Moved{}, err
	}
	if err := localPaths(&r); err != nil {
		return transfer.Moved{}, err
	}
	if door, ok := dialAny(ctx, cfg); ok {
		defer door.Close()
		return askMove(ctx, door, r, told)
	}
	if sameAddress(cmp.Or(r.From, cfg.DatabaseAddr()), r.To) {
		return transfer.Moved{}, fault.New(fault.Invalid,
			"%s is the database to leave, and the one to move to.", shown(r.To))
	}
	from, err := leaving(ctx, cfg, r)
	if err != nil {
		return transfer.Moved{}, err
	}
	moved, to, err := move(ctx, placed{from, cmp.Or(r.From, cfg.DatabaseAddr())}, r, told)
	if to != nil {
		err = errors.Join(err, to.Close())
	}
	return moved, errors.Join(err, from.Close())
}

// localPaths makes the paths of files whole: the server may run in another folder.
func localPaths(r *MoveRequest) (err error) {
	for _, a := range []*string{&r.From, &r.To} {
		if *a, err = wholePath(*a); err != nil {
			return err
		}
	}
	return nil
}

// wholePath makes the path of a file whole, if an address has one.
func wholePath(address string) (string, error) {
	path, ok := strings.CutPrefix(address, schemeFile)
	if !ok || path == "" {
		return address, nil
	}
	path, err := filepath.Abs(path)
	return schemeFile + path, err
}

// leaving opens the database that is to be left.
func leaving(ctx context.Context, cfg Config, r MoveRequest) (database, error) {
	if r.From != "" {
		return openAddress(ctx, r.From)
	}
	return openThere(ctx, cfg)
}

// move fills the target and leaves the source. The target is returned open, and new
// from the ground, if everything went well.
func move(ctx context.Context, from database, r MoveRequest, told func(transfer.Progress)) (
	transfer.Moved, database, error) {
	to, err := makeAddress(ctx, r.To)
	if err != nil {
		return transfer.Moved{}, nil, err
	}
	moved, err := transfer.Move{From: from, To: placed{to, r.To}, Name: shown(r.To),
		Report: told}.Run(ctx)
	if err = errors.Join(err, to.Close()); err != nil {
		return moved, nil, err
	}
	start := time.Now()
	// From here on there is no way back: nobody's end ends this.
	if to, err = openAddress(context.WithoutCancel(ctx), r.To); err != nil {
		return moved, nil, fmt.Errorf("everything was moved to %s, but it cannot be opened: %w",
			shown(r.To), err)
	}
	moved.Pause += time.Since(start)
	return moved, to, to.Usable(context.WithoutCancel(ctx))
}

// handleMove moves the database of this server, and goes on with the new one.
func (s *Server) handleMove(w http.ResponseWriter, r *http.Request) {
	out := newLines(w)
	req := MoveRequest{From: r.URL.Query().Get("from"), To: r.URL.Query().Get("to")}
	told := time.Now()
	moved, err := s.move(r.Context(), req, func(p transfer.Progress) {
		if now := time.Now(); p.Phase == "compare" || now.Sub(told) >= 200*time.Millisecond {
			told = now
			out.say(moveLine{Progress: &p})
		}
	})
	if err != nil {
		out.say(failure(err))
		return
	}
	out.say(moveLine{Moved: &moved})
}

func (s *Server) move(ctx context.Context, r MoveRequest, told func(transfer.Progress)) (
	transfer.Moved, error) {
	m, ok := s.store.(*movable)
	if !ok {
		return transfer.Moved{}, fault.New(fault.Conflict, "This database cannot be moved.")
	}
	end, err := m.begin(ctx)
	if err != nil {
		return transfer.Moved{}, err
	}
	defer end()
	from := m.at.Load()
	if sameAddress(from.address, r.To) {
		return transfer.Moved{}, nil // it was moved before, and nobody heard of it
	}
	if r.From != "" && !sameAddress(from.address, r.From) {
		return transfer.Moved{}, fault.New(fault.Invalid,
			"The running server has another database than %s.", shown(r.From))
	}
	moved, to, err := move(ctx, placed{from.database, from.address}, r, told)
	if to != nil && err == nil {
		m.become(to, r.To)
		s.log.Warn("the database was moved; start the server with the new one from now on",
			"database", shown(r.To))
		return moved, nil
	}
	if gone := from.Usable(context.WithoutCancel(ctx)); gone != nil {
		m.lose(errors.Join(gone, err))
	}
	return moved, err
}

// askMove lets the running server move.
func askMove(ctx context.Context, door *Door, r MoveRequest, told func(transfer.Progress)) (
	transfer.Moved, error) {
	none := transfer.Moved{}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://galley/local/move?"+
		url.Values{"from": {r.From}, "to": {r.To}}.Encode(), nil)
	if err != nil {
		return none, err
	}
	res, err := door.Do(req)
	if err != nil {
		return none, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		var l moveLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return none, fmt.Errorf("read the answer of the running server: %w", err)
		}
		switch {
		case l.Progress != nil:
			told(*l.Progress)
		case l.Moved != nil:
			return *l.Moved, nil
		case l.Error != "":
			return none, fault.WithCode(fault.Refused, l.Code, "%s", l.Error)
		}
	}
	return none, errors.Join(errors.New("the answer of the running server broke off; "+
		"the same command goes on where it was"), lines.Err())
}
