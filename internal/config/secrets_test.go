package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
)

func names(list ...string) []spec.Name {
	var out []spec.Name
	for _, n := range list {
		out = append(out, spec.Name{Name: n})
	}
	return out
}

// machine gives the test a folder of settings of its own, and an app's folder.
func machine(t *testing.T) (settings, app string) {
	t.Helper()
	settings, app = t.TempDir(), t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", settings)
	t.Setenv("HOME", settings)
	t.Setenv(config.SecretsKeyEnv, "")
	return settings, app
}

func TestAllMissingAndWeakSecretsAreNamedAtOnce(t *testing.T) {
	machine(t)
	t.Setenv("A_KEY", "a-good-value-of-a")
	_, err := config.Secrets("shop", names("A_KEY", "B_KEY", "C_KEY"), nil)
	f := fault.From(err)
	if f == nil || f.Code != config.CodeMissingSecret || !strings.Contains(f.Message, "B_KEY C_KEY") ||
		strings.Contains(f.Message, "A_KEY") {
		t.Errorf("got %v", err)
	}
	t.Setenv("B_KEY", "short")
	t.Setenv("C_KEY", "ChangeMe")
	_, err = config.Secrets("shop", names("A_KEY", "B_KEY", "C_KEY"), nil)
	f = fault.From(err)
	if f == nil || f.Code != config.CodeWeakSecret || !strings.Contains(f.Message, "B_KEY") ||
		!strings.Contains(f.Message, "C_KEY") || strings.Contains(f.Message, "short;") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsAreSealedAndTheirKeyIsElsewhere(t *testing.T) {
	settings, app := machine(t)
	const value = "marked-value/of+the=secret"
	v, err := config.OpenVault(app, "shop")
	if err != nil {
		t.Fatal(err)
	}
	v.Values["A_KEY"] = value
	if err := v.Save(); err != nil || !v.Made {
		t.Fatalf("saved %v, %v", v.Made, err)
	}
	sealed, err := os.ReadFile(filepath.Join(app, config.SecretsFile))
	if err != nil || strings.Contains(string(sealed), value) || strings.Contains(string(sealed), "A_KEY") {
		t.Fatalf("the file is %s, %v", sealed, err)
	}
	key := filepath.Join(settings, "galley", "shop.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key is %v, %v", info, err)
	}
	got, err := config.Secrets("shop", names("A_KEY"), sealed)
	if err != nil || got["A_KEY"] != value {
		t.Errorf("got %v, %v", got, err)
	}
	t.Setenv("A_KEY", "another-value")
	if got, _ := config.Secrets("shop", names("A_KEY"), sealed); got["A_KEY"] != "another-value" {
		t.Error("the environment does not come first")
	}
	t.Setenv("A_KEY", "")
	// On another machine the key is in the environment.
	text, _ := os.ReadFile(key)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	_, err = config.Secrets("shop", names("A_KEY"), sealed)
	if f := fault.From(err); f == nil || f.Code != config.CodeMissingSecret ||
		!strings.Contains(f.Message, config.SecretsKeyEnv) {
		t.Errorf("without the key: got %v", err)
	}
	t.Setenv(config.SecretsKeyEnv, string(text))
	if got, err := config.Secrets("shop", names("A_KEY"), sealed); err != nil || got["A_KEY"] != value {
		t.Errorf("got %v, %v", got, err)
	}
	for name, bad := range map[string][]byte{"cut": sealed[:len(sealed)/2], "empty": {},
		"flipped": []byte(strings.Replace(string(sealed), "AAAA", "AAAB", 1)[:200] + "x" + string(sealed[201:]))} {
		if _, err := config.Secrets("shop", names("A_KEY"), bad); err == nil {
			t.Errorf("%s: the file was opened", name)
		}
	}
	t.Setenv(config.SecretsKeyEnv, strings.TrimSpace(string(text))+"X")
	if _, err := config.Secrets("shop", names("A_KEY"), sealed); err == nil ||
		strings.Contains(err.Error(), string(text)[:30]) {
		t.Errorf("a key with a letter too many: got %v", err)
	}
}

func TestANewKeyOpensAndTheOldOneDoesNot(t *testing.T) {
	settings, app := machine(t)
	v, err := config.OpenVault(app, "shop")
	if err != nil {
		t.Fatal(err)
	}
	v.Values["A_KEY"] = "a-good-value-of-a"
	if err := v.Save(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(settings, "galley", "shop.key")
	old, _ := os.ReadFile(path)
	if v, err = config.OpenVault(app, "shop"); err == nil {
		err = v.Rotate()
	}
	if err != nil {
		t.Fatal(err)
	}
	sealed, _ := os.ReadFile(filepath.Join(app, config.SecretsFile))
	if got, err := config.Secrets("shop", names("A_KEY"), sealed); err != nil || got["A_KEY"] == "" {
		t.Errorf("got %v, %v", got, err)
	}
	if next, _ := os.ReadFile(path); string(next) == string(old) || strings.Count(string(next), "\n") != 1 {
		t.Error("the key is the old one, or is not alone")
	}
	t.Setenv(config.SecretsKeyEnv, string(old))
	if _, err := config.Secrets("shop", names("A_KEY"), sealed); err == nil ||
		!strings.Contains(err.Error(), "another key") {
		t.Errorf("the old key: got %v", err)
	}
	if v, err := config.OpenVault(app, "shop"); err == nil {
		t.Errorf("a vault was opened with the old key: %v", v.Values)
	}
}

func TestDevelopmentHasValuesOfItsOwn(t *testing.T) {
	machine(t)
	dev := []byte("# for everybody\nA_KEY = of-dev-alone-a\n\nB_KEY=of-dev-alone=b\nX_KEY=of-nobody-at-all\n")
	t.Setenv("B_KEY", "of-the-environment")
	got, err := config.DevSecrets("shop", names("A_KEY", "B_KEY"), nil, dev)
	if err != nil || len(got) != 2 || got["A_KEY"] != "of-dev-alone-a" ||
		got["B_KEY"] != "of-the-environment" {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = config.DevSecrets("shop", names("A_KEY", "C_KEY"), nil, dev)
	if f := fault.From(err); f == nil || f.Code != config.CodeMissingSecret ||
		!strings.Contains(f.Message, "C_KEY") || strings.Contains(f.Message, "A_KEY") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"A_KEY=short", "a-value-without-a-name", "A_KEY"} {
		_, err := config.DevSecrets("shop", names("A_KEY"), nil, []byte(bad))
		if f := fault.From(err); f == nil || f.Code != config.CodeWeakSecret ||
			strings.Contains(f.Message, bad) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestValuesThatEverybodyHasAreNoSecrets(t *testing.T) {
	dev := []byte("A_KEY=of-dev-alone-a\nB_KEY=of-dev-alone-b\n")
	err := config.Published(map[string]string{"A_KEY": "another-value", "C_KEY": "of-dev-alone-b"}, dev)
	if f := fault.From(err); f == nil || f.Code != config.CodeWeakSecret ||
		!strings.Contains(f.Message, "C_KEY") || strings.Contains(f.Message, "A_KEY") {
		t.Errorf("got %v", err)
	}
	if err := config.Published(map[string]string{"A_KEY": "another-value"}, dev); err != nil {
		t.Error(err)
	}
}

func TestAloneIsWhoListensToThisMachine(t *testing.T) {
	for address, want := range map[string]bool{"": true, "127.0.0.1:80": true, "localhost:0": true,
		"[::1]:80": true, ":80": false, "0.0.0.0:80": false, "10.0.0.1:80": false, "[::]:80": false} {
		if got := (config.Config{Listen: address}).Alone(); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
}
