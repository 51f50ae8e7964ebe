package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
)

// SecretsFile is the file beside the app file that holds values of secrets, encrypted.
// It may be committed; the key that opens it is never in the folder of the app.
const SecretsFile = "secrets.age"

// DevSecretsFile is the file beside the app file with values for galley dev alone, a line
// NAME=value each, as they are. They open nothing that counts, so it may be committed.
const DevSecretsFile = "secrets.dev"

// SecretsKeyEnv is the variable of the environment with the key of SecretsFile: one, or
// several that are tried in turn, separated by blanks.
const SecretsKeyEnv = "GALLEY_SECRETS_KEY"

// Bounds of a secret's value, in bytes. A shorter one can be guessed, and could not be
// told from other text where it must be hidden.
const (
	SecretMin = 8
	SecretMax = 16 << 10
	// sealedMax bounds SecretsFile.
	sealedMax = 8 << 20
)

// The codes of secrets that stop the start.
const (
	CodeMissingSecret = "missing_secret"
	CodeWeakSecret    = "weak_secret"
)

// known are values of examples and manuals, which everybody has.
var known = []string{"changeme", "change-me", "changethis", "password", "password1", "secretsecret",
	"mysecret", "my-secret", "supersecret", "super-secret", "your-secret", "your_secret",
	"secret-key", "secret_key", "example-key", "test-secret", "testtest", "12345678", "123456789",
	"1234567890", "qwertyuiop", "deadbeef"}

// Secrets returns the values of the secrets that an app names: from variables of the
// environment of the same name, or else from its file of secrets, whose text is sealed,
// nil where there is none. A fault lists all those without a value, and all that
// everybody could guess; the values that there are come with it.
func Secrets(app string, names []spec.Name, sealed []byte) (map[string]string, error) {
	values := make(map[string]string, len(names))
	var missing []string
	for _, n := range names {
		if v := os.Getenv(n.Name); v != "" {
			values[n.Name] = v
			continue
		}
		missing = append(missing, n.Name)
	}
	var closed error
	if len(missing) > 0 && sealed != nil {
		var kept map[string]string
		kept, closed = openSecrets(app, sealed)
		missing = slices.DeleteFunc(missing, func(name string) bool {
			v, found := kept[name]
			if found {
				values[name] = v
			}
			return found
		})
	}
	if len(missing) > 0 {
		f := fault.WithCode(fault.Invalid, CodeMissingSecret, "these secrets have no value: %s; "+
			"set an environment variable of that name, or: galley secrets set %s",
			strings.Join(missing, " "), missing[0])
		if closed != nil {
			f.Message = fmt.Sprintf("these secrets have no value: %s; %v",
				strings.Join(missing, " "), closed)
		}
		return values, f
	}
	var weak []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if why := WeakSecret(values[name]); why != "" {
			weak = append(weak, name+" "+why)
		}
	}
	if len(weak) > 0 {
		return values, fault.WithCode(fault.Invalid, CodeWeakSecret,
			"these secrets are none: %s", strings.Join(weak, "; "))
	}
	return values, nil
}

// DevValues reads the text of a DevSecretsFile.
func DevValues(dev []byte) (map[string]string, error) {
	values := map[string]string{}
	for line := range strings.Lines(string(dev)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, v, found := strings.Cut(line, "=")
		name, v = strings.TrimSpace(name), strings.TrimSpace(v)
		if why := WeakSecret(v); !found || why != "" {
			// What stands there is not repeated: it may be a value without its name.
			return nil, fault.WithCode(fault.Invalid, CodeWeakSecret,
				"%s has a line that gives no secret a value of at least %d bytes: write NAME=value",
				DevSecretsFile, SecretMin)
		}
		values[name] = v
	}
	return values, nil
}

// Published makes sure that none of the values stands in the text of a DevSecretsFile:
// those everybody has.
func Published(values map[string]string, dev []byte) error {
	known, err := DevValues(dev)
	if err != nil {
		return nil // it is read while developing, and told of then
	}
	var same []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, v := range known {
			if v == values[name] {
				same = append(same, name)
				break
			}
		}
	}
	if len(same) > 0 {
		return fault.WithCode(fault.Invalid, CodeWeakSecret,
			"these secrets have the values of %s, which everybody can read: %s", DevSecretsFile,
			strings.Join(same, " "))
	}
	return nil
}

// DevSecrets returns the values of secrets while an app is developed: as Secrets does,
// but what dev, the text of its DevSecretsFile, has a value for comes before what is
// sealed, so that nobody tries things out with keys that count.
func DevSecrets(app string, names []spec.Name, sealed, dev []byte) (map[string]string, error) {
	values, err := DevValues(dev)
	if err != nil {
		return nil, err
	}
	var rest []spec.Name
	given := make(map[string]string, len(names))
	for _, n := range names {
		if v, ok := values[n.Name]; ok && os.Getenv(n.Name) == "" {
			given[n.Name] = v
			continue
		}
		rest = append(rest, n)
	}
	others, err := Secrets(app, rest, sealed)
	maps.Copy(given, others)
	return given, err
}

// WeakSecret says why a text cannot be the value of a secret, "" if it can.
func WeakSecret(v string) string {
	switch {
	case len(v) < SecretMin:
		return fmt.Sprintf("has less than %d bytes", SecretMin)
	case len(v) > SecretMax:
		return fmt.Sprintf("has more than %d bytes", SecretMax)
	case strings.ContainsRune(v, 0):
		return "holds a NUL"
	case slices.Contains(known, strings.ToLower(v)) || strings.Trim(v, v[:1]) == "":
		return "is a value that everybody would try first"
	}
	return ""
}

// SecretsKeyFile returns the file in which this machine keeps the key of an app's
// secrets: below the user's own folder of settings.
func SecretsKeyFile(app string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the folder of settings: %w", err)
	}
	return filepath.Join(dir, "galley", app+".key"), nil
}

// errNoKey is the end of a look for a key where there is none.
var errNoKey = errors.New("there is no key")

// secretsKeys returns the keys of an app's secrets, the one to seal with first.
func secretsKeys(app string) ([]*age.X25519Identity, error) {
	from := SecretsKeyEnv
	text := os.Getenv(SecretsKeyEnv)
	if text == "" {
		path, err := SecretsKeyFile(app)
		if err != nil {
			return nil, err
		}
		file, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w for %s: set %s, or put it into %s", errNoKey, SecretsFile,
				SecretsKeyEnv, path)
		}
		if err != nil {
			return nil, fmt.Errorf("read the key of %s: %w", SecretsFile, err)
		}
		text, from = string(file), path
	}
	var keys []*age.X25519Identity
	for word := range strings.FieldsSeq(text) {
		key, err := age.ParseX25519Identity(word)
		if err != nil {
			// What was read is not repeated: it may be a key but for one letter.
			return nil, fmt.Errorf("%s holds no key: one begins with AGE-SECRET-KEY-1", from)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w in %s", errNoKey, from)
	}
	return keys, nil
}

// openSecrets returns what a file of secrets holds.
func openSecrets(app string, sealed []byte) (map[string]string, error) {
	keys, err := secretsKeys(app)
	if err != nil {
		return nil, err
	}
	ids := make([]age.Identity, len(keys))
	for i, k := range keys {
		ids[i] = k
	}
	values := map[string]string{}
	plain, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), ids...)
	if err == nil {
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(plain, sealedMax)); err == nil {
			err = json.Unmarshal(text, &values)
		}
	}
	var other *age.NoIdentityMatchError
	switch {
	case errors.As(err, &other):
		return nil, fmt.Errorf("%s was sealed for another key than the one that is here", SecretsFile)
	case err != nil:
		return nil, fmt.Errorf("%s cannot be opened: it is damaged", SecretsFile)
	}
	return values, nil
}

// seal encrypts values for a key.
func seal(values map[string]string, key *age.X25519Identity) ([]byte, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, key.Recipient())
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close(), a.Close()); err != nil {
		return nil, fmt.Errorf("seal the secrets: %w", err)
	}
	return out.Bytes(), nil
}

// Vault is an app's file of secrets with its key, for the commands that change it.
type Vault struct {
	// App is the app's name, Path the file; Made reports that Save made a key.
	App, Path string
	Values    map[string]string
	Made      bool
	keys      []*age.X25519Identity
}

// OpenVault opens the file of secrets in the folder of an app, which need not be there.
func OpenVault(dir, app string) (*Vault, error) {
	v := &Vault{App: app, Path: filepath.Join(dir, SecretsFile), Values: map[string]string{}}
	sealed, err := os.ReadFile(v.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.keys, err = secretsKeys(app)
		if errors.Is(err, errNoKey) {
			err = nil // Save makes one
		}
		return v, err
	case err != nil:
		return nil, err
	}
	if v.keys, err = secretsKeys(app); err != nil {
		return nil, err
	}
	v.Values, err = openSecrets(app, sealed)
	return v, err
}

// Save writes the file of secrets, and a key where there was none. A file is replaced
// whole or not at all.
func (v *Vault) Save() error {
	if len(v.keys) == 0 {
		key, err := age.GenerateX25519Identity()
		if err != nil {
			return err
		}
		if err := v.saveKeys(key); err != nil {
			return err
		}
		v.keys, v.Made = []*age.X25519Identity{key}, true
	}
	sealed, err := seal(v.Values, v.keys[0])
	if err != nil {
		return err
	}
	return replace(v.Path, sealed, 0o644)
}

// Rotate seals the secrets for a new key and forgets the old one. At each moment the
// file of keys opens the file of secrets, whenever the process ends.
func (v *Vault) Rotate() error {
	if os.Getenv(SecretsKeyEnv) != "" {
		return fmt.Errorf("the key is in %s, which a command cannot change: "+
			"put it into the file of keys first, and unset the variable", SecretsKeyEnv)
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	if err := v.saveKeys(append([]*age.X25519Identity{key}, v.keys...)...); err != nil {
		return err
	}
	v.keys = []*age.X25519Identity{key}
	if err := v.Save(); err != nil {
		return err
	}
	return v.saveKeys(key)
}

func (v *Vault) saveKeys(keys ...*age.X25519Identity) error {
	path, err := SecretsKeyFile(v.App)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var text strings.Builder
	for _, k := range keys {
		text.WriteString(k.String() + "\n")
	}
	return replace(path, []byte(text.String()), 0o600)
}

// replace writes a file beside its place and puts it there when it is on the disk.
func replace(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
