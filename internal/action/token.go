package action

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// TokenMax bounds a token, in bytes.
const TokenMax = 8 << 10

// tokenHead is the head of every token that we make.
const tokenHead = `{"alg":"HS256","typ":"JWT"}`

// SignToken makes a JSON Web Token (RFC 7519) with HMAC-SHA-256 of the members of a JSON
// object, with iat, and exp where it lives for a time. The same arguments make the same
// token.
func SignToken(secret string, claims json.RawMessage, now time.Time, live time.Duration) (
	string, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(claims, &members); err != nil {
		return "", fmt.Errorf("the claims of a token are an object")
	}
	members["iat"] = json.RawMessage(fmt.Sprint(now.Unix()))
	if live > 0 {
		members["exp"] = json.RawMessage(fmt.Sprint(now.Add(live).Unix()))
	}
	text, err := json.Marshal(members)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	token := b64.EncodeToString([]byte(tokenHead)) + "." + b64.EncodeToString(text)
	token += "." + b64.EncodeToString(mac(secret, token))
	if len(token) > TokenMax {
		return "", fmt.Errorf("a token has at most %d bytes, this one %d", TokenMax, len(token))
	}
	return token, nil
}

// VerifyToken returns the claims of a token that the secret signed with HMAC-SHA-256 and
// that has not run out, and false for all others.
func VerifyToken(secret, token string, now time.Time) (json.RawMessage, bool) {
	signed, sum, found := cutLast(token)
	head, body, two := strings.Cut(signed, ".")
	b64 := base64.RawURLEncoding.Strict()
	given, err := b64.DecodeString(sum)
	if !found || !two || secret == "" || len(token) > TokenMax || err != nil ||
		!hmac.Equal(given, mac(secret, signed)) {
		return nil, false
	}
	var alg struct{ Alg string }
	text, err := b64.DecodeString(head)
	if err != nil || json.Unmarshal(text, &alg) != nil || alg.Alg != "HS256" {
		return nil, false
	}
	var times struct{ Exp, Nbf *float64 }
	text, err = b64.DecodeString(body)
	if err != nil || json.Unmarshal(text, &times) != nil {
		return nil, false
	}
	at := float64(now.UnixMilli()) / 1000
	if times.Exp != nil && at >= *times.Exp || times.Nbf != nil && at < *times.Nbf {
		return nil, false
	}
	return text, true
}

func cutLast(token string) (signed, sum string, found bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return "", "", false
	}
	return token[:i], token[i+1:], true
}

func mac(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}
