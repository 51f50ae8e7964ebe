package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func (p *place) bring(collection, text string, more ...string) said {
	p.t.Helper()
	return p.with(p.t.Context(), text, append([]string{"import", collection, "-"}, more...)...)
}

func TestImportTellsEveryWrongLineAndWritesNothing(t *testing.T) {
	p := newPlace(t, small)
	got := p.bring("products", `{"code":"a","price":5}

{"code":"b","price":"much"}
{"code":"c","prize":5}
no json
`)
	if got.code != exitFailed {
		t.Errorf("code %d", got.code)
	}
	for _, want := range []string{"stdin:3: invalid_input: price", "stdin:4: invalid_input",
		"Did you mean price?", "stdin:5: invalid_request", "nothing was written"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("%q is not in\n%s", want, got.err)
		}
	}
	if all := p.want(exitDone, "", "export", "products"); all.out != "" {
		t.Errorf("there is %s", all.out)
	}
}

func TestImportTellsWhatIsRefusedAndWritesTheRest(t *testing.T) {
	p := newPlace(t, small)
	text := `{"code":"a","price":5}
{"code":"a","price":6}
{"code":"b","price":5,"stock":-1}
{"code":"c","price":5}
`
	for range 2 {
		got := p.bring("products", text)
		if got.code != exitFailed || !strings.Contains(got.err, "stdin:2: already_exists") ||
			!strings.Contains(got.err, "stdin:3: out_of_stock: Someone else") {
			t.Errorf("code %d: %s", got.code, got.err)
		}
		if got := p.bring("products", text, "--json"); got.code != exitFailed ||
			!strings.Contains(got.out, `"line":2`) {
			t.Errorf("--json: code %d: %s", got.code, got.out)
		}
		all := p.want(exitDone, "", "export", "products")
		if n := strings.Count(all.out, "\n"); n != 2 {
			t.Errorf("%d records, want 2:\n%s", n, all.out)
		}
	}
}

// TestMendedFileIsImportedOnce mends a line, takes one away and doubles another: what
// was in is not written again, whichever commit it came with.
func TestMendedFileIsImportedOnce(t *testing.T) {
	p := newPlace(t, strings.Replace(small, "{type: string, unique: true}", "string", 1))
	file := filepath.Join(p.dir, "things.jsonl")
	steps := []struct {
		code  int
		lines string
		want  int
		say   string
	}{
		{exitFailed, "a1 b1 c-1 d1", 3, "things.jsonl:3: out_of_stock"},
		{exitDone, "a1 b1 c1 d1", 4, "3 of them were there before"},
		{exitDone, "b1 c1 d1", 4, "3 of 3 records"},
		{exitDone, "b1 c1 d1 d1", 5, "4 of 4 records"},
		{exitDone, "d1 d1 c1 b1 a1", 5, "5 of 5 records"},
		{exitDone, "a1", 5, "1 of 1 record is in products\n1 of them was there before, and is as it was"},
	}
	for _, s := range steps {
		var b strings.Builder
		for word := range strings.FieldsSeq(s.lines) {
			fmt.Fprintf(&b, `{"code":"%s","price":1,"stock":%s}`+"\n", word[:1], word[1:])
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		p.want(s.code, s.say, "import", "products", file)
		all := p.want(exitDone, "", "export", "products")
		if n := strings.Count(all.out, "\n"); n != s.want {
			t.Fatalf("after %s there are %d records, want %d:\n%s", s.lines, n, s.want, all.out)
		}
	}
}

func TestPeopleAreImportedWithTheirPasswords(t *testing.T) {
	p := newPlace(t, small)
	text := `{"email":"ana@example.com","password":"correct horse","name":"Ana","wallet":5}
{"email":"bo@example.com","name":"Bo"}
`
	for range 2 {
		if got := p.bring("users", text); got.code != exitDone {
			t.Fatalf("code %d: %s", got.code, got.err)
		}
	}
	if got := p.want(exitDone, "", "export", "users"); strings.Count(got.out, "\n") != 2 ||
		strings.Contains(got.out, "password") || strings.Contains(got.out, "argon") {
		t.Errorf("got %s", got.out)
	}
	s := p.start("serve")
	if code := s.signIn("ana@example.com", "correct horse"); code != 200 {
		t.Errorf("the password that was imported: %d", code)
	}
	if code := s.signIn("bo@example.com", "correct horse"); code != 401 {
		t.Errorf("no password was imported: %d", code)
	}
}

func TestWhatIsExportedCanBeImported(t *testing.T) {
	for _, format := range []string{"jsonl", "csv"} {
		t.Run(format, func(t *testing.T) {
			from := filled(t)
			file := filepath.Join(from.dir, "products."+format)
			from.want(exitDone, "wrote", "export", "products", "--format", format, "--out", file)
			to := newPlace(t, small)
			to.want(exitDone, "4 of 4 records", "import", "products", file)
			want := column(t, from.want(exitDone, "", "export", "products", "--format", "csv").out, "price")
			got := column(t, to.want(exitDone, "", "export", "products", "--format", "csv").out, "price")
			if got != want {
				t.Errorf("prices %s, want %s", got, want)
			}
		})
	}
}

func column(t *testing.T, table, name string) string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var cells []string
	for _, row := range rows[1:] {
		for i, head := range rows[0] {
			if head == name {
				cells = append(cells, row[i])
			}
		}
	}
	return strings.Join(cells, " ")
}

func TestTablesNameTheirLinesAndColumns(t *testing.T) {
	p := newPlace(t, small)
	for _, c := range []struct{ text, want string }{
		{"", "begins with a row that names the fields"},
		{"code,prize\na,1\n", `column 2: there is no field "prize". Did you mean price?`},
		{"code,price\na,1\nb,x\nc\n", "stdin:3: invalid_input: price"},
		{"code,price\na,1\nb,x\nc\n", "stdin:4:"},
		{"code,price\n\"a\nb\",1\nc,x\n", "stdin:4: invalid_input: price"},
	} {
		got := p.bring("products", c.text, "--format", "csv")
		if got.code != exitFailed || !strings.Contains(got.err, c.want) {
			t.Errorf("%q: code %d, want %q in\n%s", c.text, got.code, c.want, got.err)
		}
	}
}

// TestBrokenOffImportGoesOn kills imports at random moments until one ends by
// itself: every line is in once.
func TestBrokenOffImportGoesOn(t *testing.T) {
	const lines = 6_000
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, `{"code":"c%d","price":%d}`+"\n", i, i+1)
	}
	p := newPlace(t, strings.Replace(small, "{type: string, unique: true}", "string", 1))
	file := filepath.Join(p.dir, "big.jsonl")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	for wait := 60 * time.Millisecond; ; wait += wait / 4 {
		most := wait + time.Duration(chance.IntN(40))*time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), most)
		err := p.process(ctx, "import", "products", file).Run()
		over := ctx.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if !over || wait > soon {
			t.Fatalf("after %d kills: %v", killed, err)
		}
		killed++
	}
	all := p.want(exitDone, "", "export", "products")
	if n := strings.Count(all.out, "\n"); n != lines {
		t.Errorf("after %d kills there are %d records, want %d", killed, n, lines)
	}
	p.want(exitDone, fmt.Sprintf("%d of %d", lines, lines), "import", "products", file)
	if again := p.want(exitDone, "", "export", "products"); again.out != all.out {
		t.Error("one import more changed records")
	}
	if t.Logf("%d kills", killed); killed == 0 {
		t.Error("nothing was killed, so nothing was tried")
	}
}

func TestAnExportThatFailsLeavesNoFile(t *testing.T) {
	p := newPlace(t, small)
	file := filepath.Join(p.dir, "out.jsonl")
	p.want(exitFailed, "Did you mean products?", "export", "prodcts", "--out", file)
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a file")
	}
	p.want(exitFailed, "no such file", "export", "products", "--out", filepath.Join(p.dir, "no", "x"))
}
