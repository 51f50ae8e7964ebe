package cli

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unsharing is the flag by which unshare makes mounts that nobody else sees.
func unsharing() string {
	if os.Geteuid() != 0 {
		return "-rm"
	}
	return "-m"
}

// onSmallDisk runs a script of the shell with a disk of a megabyte at $DISK, which nobody else
// sees and which is gone with the script. galley is the command.
func (p *place) onSmallDisk(script string) string {
	p.t.Helper()
	disk := p.t.TempDir()
	cmd := exec.CommandContext(p.t.Context(), "unshare", unsharing(), "sh", "-c", `
		mount -t tmpfs -o size=1m tmpfs "$DISK" || exit 1
		galley() { "$COMMAND" "$@" --app "$APP"; echo "code $?"; }
		`+script)
	cmd.Env = append(os.Environ(), "GALLEY_COMMAND=1", "COMMAND="+os.Args[0], "APP="+p.dir, "DISK="+disk)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("a disk of its own: %v\n%s", err, out)
	}
	return strings.ReplaceAll(string(out), disk, "DISK")
}

// TestAFullDiskIsNamed makes backups, restores and moves that a disk has no room for: they say
// which disk, and keep nothing of it; where there is room, the same command does. In a container
// that may not mount there is no small disk to be had: the test says so and ends.
func TestAFullDiskIsNamed(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "unshare", unsharing(), "mount", "-t", "tmpfs",
		"tmpfs", t.TempDir()).CombinedOutput(); err != nil {
		t.Logf("nothing may be mounted here: %v %s", err, out)
		return
	}
	p := newPlace(t, small)
	var b strings.Builder
	chance := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		note := make([]byte, 8000)
		for i := range note {
			note[i] = byte('a' + chance.IntN(26))
		}
		line, err := json.Marshal(map[string]any{"code": fmt.Sprint(n), "price": 1, "note": string(note)})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	if got := p.bring("products", b.String()); got.code != exitDone {
		t.Fatal(got.err)
	}
	file := filepath.Join(t.TempDir(), "all.galley")
	p.want(exitDone, "verified", "backup", file)
	more := "mount -o remount,size=64m tmpfs $DISK\n"
	for _, c := range []struct{ script, first, then string }{
		{`galley backup "$DISK/b.galley"; ls -A "$DISK"; ` + more + `galley backup "$DISK/b.galley"`,
			"The disk of DISK is full. Nothing of the backup was kept: make room there", "verified"},
		{`galley restore ` + file + ` --data "$DISK/data"; ` + more + `galley restore ` + file + ` --data "$DISK/data"`,
			"The disk of the database sqlite:DISK/data/galley.db is full: make room there", "restored"},
		{`galley move --to "sqlite:$DISK/to.db"; galley get products --limit 1; ` + more +
			`galley move --to "sqlite:$DISK/to.db"; galley get products --limit 1 --database "sqlite:$DISK/to.db"`,
			"The disk of the database sqlite:DISK/to.db is full: make room there", "moved"},
		{`dd if=/dev/zero of="$DISK/fill" 2> /dev/null; galley restore ` + file + ` --data "$DISK/data"; ` +
			`rm "$DISK/fill"; ` + more + `galley restore ` + file + ` --data "$DISK/data"`,
			"The disk of the database sqlite:DISK/data/galley.db is full: make room there", "restored"},
	} {
		got := p.onSmallDisk(c.script)
		failed, done, _ := strings.Cut(got, "code 1\n")
		if !strings.Contains(failed, c.first) || !strings.Contains(done, c.then) ||
			!strings.Contains(done, "code 0\n") || strings.Contains(done, "code 1") {
			t.Errorf("%s\n%s", c.script, got)
		}
		if strings.Contains(done, ".b.galley") {
			t.Errorf("something was left of a backup:\n%s", got)
		}
	}
}
