package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreSetListedAndForgotten(t *testing.T) {
	settings := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", settings)
	t.Setenv("HOME", settings)
	t.Setenv("GALLEY_SECRETS_KEY", "")
	const value = "marked value/of+a=secret"
	p := newPlace(t, small+"secrets: [GALLEY_TEST_A, GALLEY_TEST_B]\n")
	p.want(exitDecision, "GALLEY_TEST_A GALLEY_TEST_B", "dev", "--once")
	var all strings.Builder
	set := func(code int, words, name, value string) {
		t.Helper()
		got := p.with(t.Context(), value, "secrets", "set", name)
		all.WriteString(got.out + got.err)
		if got.code != code || !strings.Contains(got.err, words) {
			t.Errorf("set %s: %d %s", name, got.code, got.err)
		}
	}
	set(exitFailed, "less than 8 bytes", "GALLEY_TEST_A", "short\n")
	set(exitFailed, "everybody", "GALLEY_TEST_A", "changeme\n")
	set(exitDone, "A key was made", "GALLEY_TEST_A", value+"\n")
	set(exitDone, "sealed", "GALLEY_TEST_B", value+"2\n")
	set(exitDone, "not among the secrets", "GALLEY_TEST_C", value+"3\n")
	t.Setenv("GALLEY_TEST_B", "another value")
	list := p.want(exitDone, "", "secrets", "list", "--json")
	if want := `{"name":"GALLEY_TEST_A","from":"file","named":true}
{"name":"GALLEY_TEST_B","from":"environment","named":true}
{"name":"GALLEY_TEST_C","from":"file","named":false}
`; list.out != want {
		t.Errorf("got %s", list.out)
	}
	p.want(exitDone, "rotated", "secrets", "rotate-key")
	p.want(exitDone, "", "dev", "--once")
	p.want(exitDone, "unset", "secrets", "unset", "GALLEY_TEST_A")
	p.want(exitFailed, "has no value", "secrets", "unset", "GALLEY_TEST_A")
	p.want(exitDecision, "GALLEY_TEST_A", "dev", "--once")
	all.WriteString(list.out + list.err)
	if strings.Contains(all.String(), "marked") {
		t.Errorf("a value is told: %s", all.String())
	}
	err := filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type()&os.ModeSocket != 0 {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "marked value") || strings.Contains(string(text), "AGE-SECRET-KEY") {
			t.Errorf("%s holds a value or the key", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestValuesForDevelopmentServeNobodyElse(t *testing.T) {
	t.Setenv("GALLEY_TEST_A", "")
	p := newPlace(t, small+"secrets: [GALLEY_TEST_A]\n")
	p.write("secrets.dev", "GALLEY_TEST_A=of-dev-alone\n")
	p.want(exitDone, "", "dev", "--once")
	list := p.want(exitDone, "", "secrets", "list")
	if !strings.Contains(list.out, "for galley dev alone") {
		t.Errorf("got %s", list.out)
	}
	p.want(exitDecision, "GALLEY_TEST_A", "serve", "--listen", "127.0.0.1:0")
	t.Setenv("GALLEY_TEST_A", "of-dev-alone")
	p.want(exitDecision, "everybody can read: GALLEY_TEST_A", "serve", "--listen", "0.0.0.0:0")
}
