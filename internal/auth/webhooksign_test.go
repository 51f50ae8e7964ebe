package auth

import (
	"net/http"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/spec"
)

// What is signed here is what is verified here, and nothing else.
func TestSignedWebhooksAreVerified(t *testing.T) {
	now := time.Now()
	const secret = "whsec_c2VjcmV0"
	for _, kind := range []string{spec.VerifyStripe, spec.VerifyGitHub, spec.VerifyStandard,
		spec.VerifyHMAC} {
		w := &spec.Webhook{Verify: kind, Header: "X-Signature"}
		h := http.Header{}
		SignWebhook(h, w, secret, "m1", []byte("body"), now)
		if err := VerifyWebhook(w, secret, h, []byte("body"), now); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if VerifyWebhook(w, secret, h, []byte("bodY"), now) == nil {
			t.Errorf("%s: another body was verified", kind)
		}
	}
}
