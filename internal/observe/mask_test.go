package observe_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/observe"
)

const marked = `sk_li"ve/9f8e+7d6c=5b4a<3`

func TestMaskKnowsASecretInEveryForm(t *testing.T) {
	m := &observe.Mask{}
	m.Set(map[string]string{"PAY_KEY": marked})
	coded, _ := json.Marshal(marked)
	var forms []string
	for i := range 4 {
		forms = append(forms,
			base64.StdEncoding.EncodeToString([]byte("user:p"[:i]+marked+"~tail")),
			base64.URLEncoding.EncodeToString([]byte("user:p"[:i]+marked)))
	}
	forms = append(forms, marked, string(coded), strings.ReplaceAll(string(coded), "/", `\/`),
		url.QueryEscape(marked), url.PathEscape(marked), fmt.Sprintf("%q", marked),
		hex.EncodeToString([]byte(marked)), fmt.Sprintf("%X", marked))
	for _, f := range forms {
		text := "before " + f + " after"
		if !m.Holds([]byte(text)) || m.Text(text) == text || strings.Contains(m.Text(text), f) ||
			!strings.Contains(m.Text(text), "[PAY_KEY]") {
			t.Errorf("%s became %s", text, m.Text(text))
		}
	}
	if plain := "a line of no interest"; m.Text(plain) != plain || m.Holds([]byte(plain)) {
		t.Error("a plain text is not left alone")
	}
	var none *observe.Mask
	if none.Text(marked) != marked || none.Holds([]byte(marked)) {
		t.Error("a nil mask hides something")
	}
}

func TestMaskKnowsBothOfTwoValuesAndTheLinesOfAKey(t *testing.T) {
	m := &observe.Mask{}
	m.Set(map[string]string{"HOOK": "whsec_MfKQ9r8GKYqrTwjU whsec_PD94bWwgdmVyc2lv"})
	for _, v := range []string{"whsec_MfKQ9r8GKYqrTwjU", "whsec_PD94bWwgdmVyc2lv",
		"MfKQ9r8GKYqrTwjU"} {
		if got := m.Text("x" + v + "x"); strings.Contains(got, v) {
			t.Errorf("got %s", got)
		}
	}
}

type secretive struct{ Key string }

func TestNoSecretIsLogged(t *testing.T) {
	m := &observe.Mask{}
	m.Set(map[string]string{"PAY_KEY": marked})
	var out bytes.Buffer
	log := slog.New(m.Handler(slog.NewTextHandler(&out, nil)))
	log.With("a", marked).WithGroup(marked[:4]).Info("said "+marked, "b", marked,
		slog.Group("g", "c", marked, "d", errors.New("e "+marked)), "f", secretive{marked},
		"h", []string{marked}, "i", map[string]any{marked: &secretive{marked}},
		"j", json.RawMessage(`"x"`), "k", fmt.Errorf("wrapped: %w", errors.New(marked)))
	if m.Holds(out.Bytes()) || strings.Count(out.String(), "[PAY_KEY]") < 9 {
		t.Errorf("logged %s", out.String())
	}
}

func TestNoSecretIsInWhatIsObserved(t *testing.T) {
	m := &observe.Mask{}
	m.Set(map[string]string{"PAY_KEY": marked})
	var lines, terminal bytes.Buffer
	o := observe.New(observe.Config{Log: &lines, Mask: m,
		Terminal: observe.NewTerminal(&terminal, false)})
	c := o.Call("01")
	c.Path, c.Status, c.Outcome = "/api/"+url.PathEscape(marked), 500, observe.Failed
	c.Cause = errors.New("asked with " + marked)
	c.Logs = []string{"key " + marked}
	o.Done(c)
	for _, b := range []*bytes.Buffer{&lines, &terminal} {
		if b.Len() == 0 || m.Holds(b.Bytes()) {
			t.Errorf("wrote %s", b)
		}
	}
	if m.Holds([]byte(c.Logs[0])) || m.Holds([]byte(c.Cause.Error())) {
		t.Error("what is kept for the journey holds the secret")
	}
	w := m.Writer(io.Discard)
	if n, err := w.Write([]byte(marked)); n != len(marked) || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
}

// BenchmarkMask is about a line of the log: a few microseconds, however
// many secrets an app has.
func BenchmarkMask(b *testing.B) {
	m := &observe.Mask{}
	values := map[string]string{}
	for i := range 50 {
		values[fmt.Sprint("KEY_", i)] = fmt.Sprintf("%x-secret-%d", i*7919, i)
	}
	m.Set(values)
	line := []byte(strings.Repeat(`{"time":"2026-11-21T17:52:45.548Z","level":"INFO","msg":"call"}`, 12))
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if m.Holds(line) {
			b.Fatal("there is none")
		}
	}
}
