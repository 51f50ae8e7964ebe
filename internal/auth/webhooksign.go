package auth

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/galleybackend/galley/internal/spec"
)

// SignWebhook sets the headers by which VerifyWebhook knows the sender, for those who try
// an app. The id goes where the sender's kind of webhook has one in a header.
func SignWebhook(h http.Header, w *spec.Webhook, secret, id string, body []byte, now time.Time) {
	switch key := lines(secret)[0]; w.Verify {
	case spec.VerifyStripe:
		stamp := strconv.FormatInt(now.Unix(), 10)
		m := mac([]byte(key), []byte(stamp+"."), body)
		h.Set(headerStripe, "t="+stamp+",v1="+hex.EncodeToString(m))
	case spec.VerifyGitHub:
		h.Set(headerGitHub, "sha256="+hex.EncodeToString(mac([]byte(key), body)))
		h.Set("X-GitHub-Delivery", id)
	case spec.VerifyStandard:
		SignStandard(h, secret, id, body, now)
	default:
		h.Set(w.Header, hex.EncodeToString(mac([]byte(key), body)))
	}
}
