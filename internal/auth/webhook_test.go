package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
)

// The moment of the tests, and what is signed in them.
var moment = time.Unix(1_800_000_000, 0)

const event = `{"id":"evt_1","type":"charge.refunded"}`

func sum(key, text string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func stripe(key string, at time.Time) string {
	t := fmt.Sprint(at.Unix())
	return "t=" + t + ",v1=" + hex.EncodeToString(sum(key, t+"."+event))
}

func verify(kind, secret string, h http.Header, body string) error {
	w := &spec.Webhook{Name: "x", Verify: kind, Header: "X-Signature", Secret: spec.Name{Name: "KEY"}}
	return auth.VerifyWebhook(w, secret, h, []byte(body), moment)
}

func head(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// TestPublishedSignatures holds signatures that others computed: the example of GitHub's
// manual, and that of the specification of Standard Webhooks' own tests.
func TestPublishedSignatures(t *testing.T) {
	err := verify(spec.VerifyGitHub, "It's a Secret to Everybody", head("X-Hub-Signature-256",
		"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), "Hello, World!")
	if err != nil {
		t.Error(err)
	}
	w := &spec.Webhook{Name: "x", Verify: spec.VerifyStandard}
	err = auth.VerifyWebhook(w, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", head(
		"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330",
		"webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
		[]byte(`{"test": 2432232314}`), time.Unix(1614265330, 0))
	if err != nil {
		t.Error(err)
	}
}

func TestASignedCallIsVerified(t *testing.T) {
	const key, old = "a-key-of-mine", "the-key-before"
	raw := sum(key, event)
	standard := http.Header{}
	auth.SignStandard(standard, "whsec_"+base64.StdEncoding.EncodeToString([]byte(key)), "msg_1",
		[]byte(event), moment)
	both := http.Header{}
	auth.SignStandard(both, old+"\n"+key, "msg_1", []byte(event), moment)
	for name, c := range map[string]struct {
		kind, secret string
		h            http.Header
	}{
		"stripe":         {spec.VerifyStripe, key, head("Stripe-Signature", stripe(key, moment))},
		"stripe, others": {spec.VerifyStripe, key, head("Stripe-Signature", "v0=ab, "+stripe(old, moment)+",v1="+hex.EncodeToString(sum(key, fmt.Sprint(moment.Unix())+"."+event)))},
		"stripe, early":  {spec.VerifyStripe, key, head("Stripe-Signature", stripe(key, moment.Add(4*time.Minute)))},
		"github":         {spec.VerifyGitHub, key, head("X-Hub-Signature-256", "sha256="+hex.EncodeToString(raw))},
		"hex":            {spec.VerifyHMAC, key, head("X-Signature", hex.EncodeToString(raw))},
		"upper":          {spec.VerifyHMAC, key, head("X-Signature", strings.ToUpper(hex.EncodeToString(raw)))},
		"prefixed":       {spec.VerifyHMAC, key, head("X-Signature", "sha256="+hex.EncodeToString(raw))},
		"base64":         {spec.VerifyHMAC, key, head("X-Signature", base64.StdEncoding.EncodeToString(raw))},
		"standard":       {spec.VerifyStandard, "whsec_" + base64.StdEncoding.EncodeToString([]byte(key)), standard},
		"two signatures": {spec.VerifyStandard, key, both},
		"two secrets":    {spec.VerifyGitHub, old + "\n" + key, head("X-Hub-Signature-256", "sha256="+hex.EncodeToString(raw))},
	} {
		if err := verify(c.kind, c.secret, c.h, event); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// One byte more, another key, or another day is another call.
		if err := verify(c.kind, c.secret, c.h, event+" "); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s, another body: %v", name, err)
		}
		if err := verify(c.kind, "another-key", c.h, event); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s, another key: %v", name, err)
		}
	}
}

func TestWhatIsNotSignedIsRefused(t *testing.T) {
	const key = "a-key-of-mine"
	raw := hex.EncodeToString(sum(key, event))
	good := http.Header{}
	auth.SignStandard(good, key, "msg_1", []byte(event), moment)
	standard := func(change func(http.Header)) http.Header {
		h := good.Clone()
		change(h)
		return h
	}
	for name, c := range map[string]struct {
		kind string
		h    http.Header
	}{
		"stripe, none":      {spec.VerifyStripe, head()},
		"stripe, empty":     {spec.VerifyStripe, head("Stripe-Signature", "")},
		"stripe, no time":   {spec.VerifyStripe, head("Stripe-Signature", "v1="+raw)},
		"stripe, two times": {spec.VerifyStripe, head("Stripe-Signature", stripe(key, moment)+",t=1")},
		"stripe, old":       {spec.VerifyStripe, head("Stripe-Signature", stripe(key, moment.Add(-6*time.Minute)))},
		"stripe, future":    {spec.VerifyStripe, head("Stripe-Signature", stripe(key, moment.Add(6*time.Minute)))},
		"stripe, only v0":   {spec.VerifyStripe, head("Stripe-Signature", strings.Replace(stripe(key, moment), "v1", "v0", 1))},
		"stripe, +time":     {spec.VerifyStripe, head("Stripe-Signature", strings.Replace(stripe(key, moment), "t=", "t=+", 1))},
		"stripe, twice":     {spec.VerifyStripe, head("Stripe-Signature", stripe(key, moment), "Stripe-Signature", stripe(key, moment))},
		"stripe, no mac":    {spec.VerifyStripe, head("Stripe-Signature", fmt.Sprintf("t=%d,v1=", moment.Unix()))},
		"github, bare":      {spec.VerifyGitHub, head("X-Hub-Signature-256", raw)},
		"github, sha1":      {spec.VerifyGitHub, head("X-Hub-Signature", "sha1="+raw)},
		"hmac, none":        {spec.VerifyHMAC, head("X-Other", raw)},
		"hmac, short":       {spec.VerifyHMAC, head("X-Signature", raw[:62])},
		"hmac, empty":       {spec.VerifyHMAC, head("X-Signature", "sha256=")},
		"standard, no id":   {spec.VerifyStandard, standard(func(h http.Header) { h.Del("Webhook-Id") })},
		"standard, other":   {spec.VerifyStandard, standard(func(h http.Header) { h.Set("Webhook-Id", "msg_2") })},
		"standard, time":    {spec.VerifyStandard, standard(func(h http.Header) { h.Set("Webhook-Timestamp", "1800000001") })},
		"standard, v2": {spec.VerifyStandard, standard(func(h http.Header) {
			h.Set("Webhook-Signature", strings.Replace(h.Get("Webhook-Signature"), "v1,", "v2,", 1))
		})},
		"unknown": {"", head("X-Signature", raw)},
	} {
		if err := verify(c.kind, key, c.h, event); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := verify(spec.VerifyGitHub, "\n", head("X-Hub-Signature-256", "sha256="+hex.EncodeToString(
		sum("", event))), event); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a secret: got %v", err)
	}
}

// FuzzVerifyWebhook looks for headers that pass without a signature by the secret.
func FuzzVerifyWebhook(f *testing.F) {
	f.Add("stripe", stripe("another", moment), "1", fmt.Sprint(moment.Unix()), event)
	f.Add("github", "sha256="+strings.Repeat("0", 64), "", "", event)
	f.Add("standard", "v1,AAAA v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32)), "1",
		fmt.Sprint(moment.Unix()), event)
	f.Add("hmac-sha256", strings.Repeat("A", 43)+"=", "", "", event)
	f.Fuzz(func(t *testing.T, kind, signature, id, stamp, body string) {
		h := head("Stripe-Signature", signature, "X-Hub-Signature-256", signature, "X-Signature", signature,
			"Webhook-Signature", signature, "Webhook-Id", id, "Webhook-Timestamp", stamp)
		if err := verify(kind, "a-secret-that-nobody-knows", h, body); err == nil {
			t.Errorf("%s took %q", kind, signature)
		}
	})
}
