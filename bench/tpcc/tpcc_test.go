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
		languages: []string{"ts", "go"}, scale: scaleSmall, kills: 3,
		plan: plan{scale: scaleSmall, terminals: 6, calls: 250, seed: uint64(time.Now().UnixNano())},
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

// On each database: kills, some for the actions in each language, leave every condition
// whole and each acknowledged transaction there once; the checker sees each
// condition that is broken; and the yardstick, which does the same work, keeps them too.
func TestConditions(t *testing.T) {
	b := testBench(t)
	for name, home := range homes(t) {
		t.Run(name+"/kills", func(t *testing.T) { holdsThroughKills(t, b, name, home) })
		t.Run(name+"/broken", func(t *testing.T) { breaksEach(t, b, home) })
		t.Run(name+"/direct", func(t *testing.T) { drivesDirect(t, home) })
	}
}

func holdsThroughKills(t *testing.T, b *bench, name string, home database) {
	err := b.measure(t.Context(), name, home)
	if err == nil {
		return
	}
	for _, language := range b.config.languages {
		log, _ := os.ReadFile(filepath.Join(b.dir, "server-"+language+".log"))
		t.Logf("%s", log[max(0, len(log)-2000):])
	}
	t.Error(err)
}

// plants break one condition each, in the tables of Galley. Some break others with it.
var plants = map[int]string{
	0: `SELECT 1`, // and none is broken
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

// breaksEach breaks every condition once, in copies of a database.
func breaksEach(t *testing.T, b *bench, home database) {
	ctx := t.Context()
	where, err := home.galley(ctx, "whole")
	if err != nil {
		t.Fatal(err)
	}
	a := b.app("go", where)
	if err := errors.Join(home.fresh(ctx, "whole"), a.fill(ctx, b.files)); err != nil {
		t.Fatal(err)
	}
	for n, plant := range plants {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := plantIn(t, home, fmt.Sprint("broken-", n), plant)
			found, err := check(ctx, r, b.config.scale, layoutGalley)
			if err = errors.Join(err, r.close()); err != nil {
				t.Fatal(err)
			}
			seen := n == 0 && len(found) == 0
			for _, f := range found {
				seen = seen || f.number == n
			}
			if !seen || alone[n] && len(found) > 1 {
				t.Errorf("condition %d was broken, the checker says %v", n, found)
			}
		})
	}
	for name, plant := range foldPlants {
		t.Run("13 "+name, func(t *testing.T) {
			language := "folded-" + name
			if err := plantIn(t, home, language, plant).close(); err != nil {
				t.Fatal(err)
			}
			j, err := home.journal(ctx, language)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = fold(ctx, j); (err != nil) != (name != "whole") {
				t.Errorf("%s was planted, the fold says: %v", name, err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// foldPlants break the thirteenth condition: records changed, lost and added behind the
// journal's back.
var foldPlants = map[string]string{
	"whole":   `SELECT 1`,
	"changed": `UPDATE items SET name = 'Other' WHERE number = 9`,
	"lost":    `DELETE FROM history WHERE customer = %c5`,
	"added": `INSERT INTO history SELECT '7zzzzzzzzzzzzzzzzzzzzzzzzz', created, updated, version,
		customer, district, amount, data FROM history WHERE customer = %c5`,
}

// plantIn changes a copy of the database.
func plantIn(t *testing.T, home database, language, plant string) reader {
	t.Helper()
	if err := home.copies(t.Context(), "whole", []string{language}); err != nil {
		t.Fatal(err)
	}
	r, err := home.read(t.Context(), language)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.exec(t.Context(), planted(plant)); err != nil {
		t.Fatal(err)
	}
	return r
}

// planted writes the ids of a plant: those of district, order or customer 7 of district 5.
func planted(sql string) string {
	return strings.NewReplacer("%d5", "'"+districtID(5)+"'", "%o5", "'"+orderID(5, 7)+"'",
		"%c5", "'"+customerID(5, 7)+"'").Replace(sql)
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
	p := plan{scale: scaleSmall, terminals: 6, calls: 250, seed: 3}
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
