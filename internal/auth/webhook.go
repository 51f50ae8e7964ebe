package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
)

// Bounds of what is looked at of a signed call.
const (
	// WebhookTolerance is how far the time in a signature may lie from ours, before or
	// after.
	WebhookTolerance = 5 * time.Minute
	// signatureMax bounds the header of signatures, in bytes, signaturesMax their
	// number.
	signatureMax  = 4 << 10
	signaturesMax = 16
)

// The headers of signed calls.
const (
	headerStripe    = "Stripe-Signature"
	headerGitHub    = "X-Hub-Signature-256"
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// VerifyWebhook makes sure that the holder of a secret sent these very bytes, and, where
// the signature holds a time, that it was not long ago. The secret may be several,
// one a line, while one is exchanged for another: each of them will do. An error
// is a fault of kind Unauthenticated, which says no more to those who guess than to those
// who erred.
func VerifyWebhook(w *spec.Webhook, secret string, h http.Header, body []byte, now time.Time) error {
	secrets := lines(secret)
	if len(secrets) == 0 {
		return fault.Wrap(fault.Unavailable, fmt.Errorf("the secret %s has no value", w.Secret.Name),
			"This webhook cannot be verified now.")
	}
	var signed []signed
	var why string
	switch w.Verify {
	case spec.VerifyStripe:
		signed, why = stripeSigned(h, body, now)
	case spec.VerifyGitHub:
		signed, why = plainSigned(h, headerGitHub, "sha256=", body)
	case spec.VerifyStandard:
		signed, why = standardSigned(h, body, now)
	case spec.VerifyHMAC:
		signed, why = plainSigned(h, w.Header, "", body)
	default:
		why = "the kind of signature is not known"
	}
	if why != "" {
		return fault.New(fault.Unauthenticated, "The call is not signed as it should be: %s.", why)
	}
	good := false
	for _, s := range signed {
		for _, secret := range secrets {
			key := []byte(secret)
			if w.Verify == spec.VerifyStandard {
				key = standardKey(secret)
			}
			// All are tried, so that the time tells nothing.
			good = s.by(key) || good
		}
	}
	if !good {
		return fault.New(fault.Unauthenticated, "The signature is not that of this call.")
	}
	return nil
}

// lines returns the secrets that a value holds.
func lines(value string) []string {
	var all []string
	for line := range strings.Lines(value) {
		if line = strings.Trim(line, "\r\n"); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// signed is a signature with what it is of.
type signed struct {
	content [][]byte
	mac     []byte
}

func (s signed) by(key []byte) bool { return hmac.Equal(s.mac, mac(key, s.content...)) }

func mac(key []byte, content ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, part := range content {
		m.Write(part)
	}
	return m.Sum(nil)
}

// header returns the value of a header that must stand there once.
func header(h http.Header, name string) (string, string) {
	values := h.Values(name)
	switch {
	case len(values) == 0 || values[0] == "":
		return "", "there is no " + name
	case len(values) > 1:
		return "", "there is more than one " + name
	case len(values[0]) > signatureMax:
		return "", name + " is too long"
	}
	return values[0], ""
}

// recent reads a time in seconds since 1970, in its one form.
func recent(text, name string, now time.Time) string {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text || n < 0 || n > 1<<40 {
		return "the time in " + name + " is no number of seconds"
	}
	if d := now.Sub(time.Unix(n, 0)); d > WebhookTolerance || d < -WebhookTolerance {
		return fmt.Sprintf("the time in %s lies more than %v from ours", name, WebhookTolerance)
	}
	return ""
}

// stripeSigned reads t=TIME,v1=HEX with as many v1 as there are secrets at the sender.
func stripeSigned(h http.Header, body []byte, now time.Time) ([]signed, string) {
	text, why := header(h, headerStripe)
	if why != "" {
		return nil, why
	}
	stamp, macs := "", [][]byte{}
	for part := range strings.SplitSeq(text, ",") {
		name, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			if stamp != "" {
				return nil, "there are two times in " + headerStripe
			}
			stamp = v
		case "v1":
			if m, err := hex.DecodeString(v); err == nil && len(m) == sha256.Size {
				macs = append(macs, m)
			}
		}
	}
	if why := recent(stamp, headerStripe, now); why != "" {
		return nil, why
	}
	return signedBy(macs, []byte(stamp), []byte("."), body), ""
}

// standardSigned reads the headers of Standard Webhooks.
func standardSigned(h http.Header, body []byte, now time.Time) ([]signed, string) {
	id, why := header(h, HeaderID)
	if why != "" {
		return nil, why
	}
	stamp, why := header(h, HeaderTimestamp)
	if why != "" {
		return nil, why
	}
	text, why := header(h, HeaderSignature)
	if why != "" {
		return nil, why
	}
	if why := recent(stamp, HeaderTimestamp, now); why != "" {
		return nil, why
	}
	var macs [][]byte
	for part := range strings.FieldsSeq(text) {
		version, v, _ := strings.Cut(part, ",")
		m, err := base64.StdEncoding.DecodeString(v)
		if version == "v1" && err == nil && len(m) == sha256.Size {
			macs = append(macs, m)
		}
	}
	dot := []byte(".")
	return signedBy(macs, []byte(id), dot, []byte(stamp), dot, body), ""
}

// plainSigned reads a signature of the body alone, in hex or base64, which may say
// sha256= before it, or must.
func plainSigned(h http.Header, name, prefix string, body []byte) ([]signed, string) {
	text, why := header(h, name)
	if why != "" {
		return nil, why
	}
	bare, found := strings.CutPrefix(text, "sha256=")
	if prefix != "" && !found {
		return nil, name + " does not begin with " + prefix
	}
	m, err := hex.DecodeString(bare)
	if err != nil && prefix == "" {
		m, err = base64.StdEncoding.DecodeString(bare)
	}
	if err != nil || len(m) != sha256.Size {
		return nil, name + " holds no SHA-256"
	}
	return signedBy([][]byte{m}, body), ""
}

func signedBy(macs [][]byte, content ...[]byte) []signed {
	var all []signed
	for _, m := range macs[:min(len(macs), signaturesMax)] {
		all = append(all, signed{content, m})
	}
	return all
}

// standardKey returns the key of a secret of Standard Webhooks: what follows whsec_ is
// base64, any other text is the key itself.
func standardKey(secret string) []byte {
	if text, found := strings.CutPrefix(secret, "whsec_"); found {
		if key, err := base64.StdEncoding.DecodeString(text); err == nil {
			return key
		}
	}
	return []byte(secret)
}

// SignStandard sets the headers of Standard Webhooks: the id, the time, and a signature
// by each of the secrets, of which there is one a line.
func SignStandard(h http.Header, secret, id string, body []byte, now time.Time) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for _, s := range lines(secret) {
		m := mac(standardKey(s), []byte(id+"."+stamp+"."), body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(m))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
}
