package engine

import (
	"context"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/fault"
)

var _ action.Keeper = (*host)(nil)

// Secret returns a secret that the app file names.
func (h *host) Secret(name string) (string, error) {
	if h.engine.secrets != nil {
		if text := h.engine.secrets(name); text != "" {
			return text, nil
		}
	}
	return "", internal("the app file names no secret %s", name)
}

// HashPassword returns what is kept of a password.
func (h *host) HashPassword(ctx context.Context, password string) (string, error) {
	switch {
	case h.engine.hasher == nil:
		return "", internal("no passwords are kept here")
	case utf8.RuneCountInString(password) < auth.PasswordMin:
		return "", fault.New(fault.Invalid, "A password has at least %d characters.", auth.PasswordMin)
	case len(password) > auth.PasswordMax:
		return "", fault.New(fault.Invalid, "A password has at most %d bytes.", auth.PasswordMax)
	}
	return h.engine.hasher.Hash(ctx, password)
}

// CheckPassword reports whether a password has the hash.
func (h *host) CheckPassword(ctx context.Context, hash, password string) (bool, error) {
	if h.engine.hasher == nil || len(password) > auth.PasswordMax {
		return false, nil
	}
	right, _, err := h.engine.hasher.Verify(ctx, hash, password)
	return right, err
}
