package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// command builds the galley of a language once for all tests.
func command(t *testing.T, b *bench) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root) // where packages and the app are named from
	if err := b.build(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// testBench is a small warehouse for a few terminals.
func testBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir(), paths: map[string]string{}, config: config{
		languages: []string{"ts", "go"}, scale: scaleSmall, kills: 10,
		plan: plan{scale: scaleSmall, terminals: 6, calls: 800, seed: uint64(time.Now().UnixNano())},
	}}
	t.Logf("seed %d", b.config.plan.seed)
	command(t, b)
	b.files = &files{dir: b.dir}
	err := errors.Join(b.files.users(b.config.plan.terminals),
		generate(b.config.scale, loadSeed, b.files), b.files.close())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Twenty kills, ten for the actions in each language, leave every condition whole, and
// each acknowledged transaction there once.
func TestConditionsHoldThroughKills(t *testing.T) {
	b := testBench(t)
	home := &sqliteHome{dir: filepath.Join(b.dir, "sqlite")}
	if err := b.measure(t.Context(), "sqlite", home); err != nil {
		for _, language := range b.config.languages {
			log, _ := os.ReadFile(filepath.Join(b.dir, "server-"+language+".log"))
			t.Logf("%s", log[max(0, len(log)-2000):])
		}
		t.Fatal(err)
	}
}

// plants break one condition each, in the tables of Galley. Some break others with it.
var plants = map[int]string{
	1: `UPDATE districts SET ytd = ytd + 1 WHERE number = 3`,
	2: `UPDATE districts SET next_order = next_order + 1 WHERE number = 4`,
	3: `DELETE FROM new_orders WHERE number = 50 AND district = %d5`,
	4: `UPDATE orders SET lines = lines + 1 WHERE number = 7 AND district = %d5`,
	5: `UPDATE orders SET carrier = NULL WHERE number = 7 AND district = %d5`,
	6: `UPDATE orders SET lines = lines + (CASE number WHEN 7 THEN 1 ELSE -1 END)
		WHERE number IN (7, 8) AND district = %d5`,
	7: `UPDATE order_lines SET delivered = NULL WHERE number = 2 AND "order" = %o5`,
	8: `UPDATE warehouses SET ytd = ytd - 1`,
	9: `UPDATE districts SET ytd = ytd + (CASE number WHEN 1 THEN 1 ELSE -1 END)
		WHERE number IN (1, 2)`,
	10: `UPDATE history SET amount = amount + 1 WHERE customer = %c5`,
	11: `DELETE FROM new_orders WHERE number = 60 AND district = %d5`,
	12: `UPDATE customers SET ytd_payment = ytd_payment + 1 WHERE id = %c5`,
}

// alone are the plants that nothing else sees.
var alone = map[int]bool{6: true, 9: true}

// Every condition is broken once in a copy of the database, and the checker says so.
func TestCheckerSeesEachBrokenCondition(t *testing.T) {
	ctx := t.Context()
	b := testBench(t)
	home := &sqliteHome{dir: filepath.Join(b.dir, "sqlite")}
	where, err := home.galley(ctx, "go")
	if err != nil {
		t.Fatal(err)
	}
	a := b.app("go", where)
	if err := a.fill(ctx, b.files); err != nil {
		t.Fatal(err)
	}
	broken := func(t *testing.T, language, plant string) map[int]bool {
		t.Helper()
		if err := home.copies(ctx, "go", []string{language}); err != nil {
			t.Fatal(err)
		}
		r, err := home.read(ctx, language)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := r.close(); err != nil {
				t.Error(err)
			}
		}()
		if err := r.exec(ctx, planted(plant)); err != nil {
			t.Fatal(err)
		}
		found, err := check(ctx, r, b.config.scale, layoutGalley)
		if err != nil {
			t.Fatal(err)
		}
		out := map[int]bool{}
		for _, f := range found {
			out[f.number] = true
		}
		return out
	}
	if got := broken(t, "whole", "SELECT 1"); len(got) > 0 {
		t.Fatalf("nothing was broken, but the checker says %v", got)
	}
	for n, plant := range plants {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			got := broken(t, fmt.Sprint("broken-", n), plant)
			if !got[n] || alone[n] && len(got) > 1 {
				t.Errorf("condition %d was broken, the checker says %v", n, got)
			}
		})
	}
	t.Run("13", func(t *testing.T) { folds(t, home) })
}

// folds breaks the thirteenth condition: records changed, lost and added behind the
// journal's back.
func folds(t *testing.T, home *sqliteHome) {
	ctx := t.Context()
	for name, plant := range map[string]string{
		"":        `SELECT 1`,
		"changed": `UPDATE items SET name = 'Other' WHERE number = 9`,
		"lost":    `DELETE FROM history WHERE customer = %c5`,
		"added": `INSERT INTO history SELECT '7zzzzzzzzzzzzzzzzzzzzzzzzz', created, updated, version,
			customer, district, amount, data FROM history WHERE customer = %c5`,
	} {
		language := "folded-" + name
		if err := home.copies(ctx, "go", []string{language}); err != nil {
			t.Fatal(err)
		}
		r, err := home.read(ctx, language)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.exec(ctx, planted(plant)), r.close()); err != nil {
			t.Fatal(err)
		}
		j, err := home.journal(ctx, language)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fold(ctx, j)
		if (err != nil) != (name != "") {
			t.Errorf("%q was planted, the fold says: %v", name, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// planted writes the ids of a plant: those of district, order or customer 7 of district 5.
func planted(sql string) string {
	return strings.NewReplacer("%d5", "'"+districtID(5)+"'", "%o5", "'"+orderID(5, 7)+"'",
		"%c5", "'"+customerID(5, 7)+"'").Replace(sql)
}

// The yardsticks keep the conditions as well: they do the same work.
func TestConditionsHoldInDirectDrivers(t *testing.T) {
	for name, home := range homes(t) {
		t.Run(name, func(t *testing.T) { drivesDirect(t, home) })
	}
}

// homes are both databases.
func homes(t *testing.T) map[string]database {
	t.Helper()
	dir := t.TempDir()
	// PostgreSQL runs as another user, who must get at his files.
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	p, err := openPostgres(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.end(); err != nil {
			t.Error(err)
		}
	})
	return map[string]database{
		"sqlite": &sqliteHome{dir: filepath.Join(dir, "sqlite")}, "postgres": p,
	}
}

func drivesDirect(t *testing.T, home database) {
	t.Helper()
	s, err := home.direct(t.Context(), scaleSmall)
	if err != nil {
		t.Fatal(err)
	}
	p := plan{scale: scaleSmall, terminals: 6, calls: 400, seed: 3}
	d := &target{name: "direct", check: home.readDirect, layout: layoutDirect}
	d.tally, err = drive(t.Context(), s, p)
	if err = errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
	if d.tally.delivered == 0 {
		t.Error("nothing was delivered")
	}
	if err := d.verify(t.Context(), scaleSmall); err != nil {
		t.Error(err)
	}
}
