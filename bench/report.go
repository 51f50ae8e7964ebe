package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// find returns a cell, or nil for what was not measured.
func (r *results) find(workload string, conns int, target string) *cell {
	for _, c := range r.Cells {
		if c.Workload == workload && c.Conns == conns && c.Target == target {
			return c
		}
	}
	return nil
}

// ratio is the median of the rounds' ratios of two rates: a round's turns lie close
// together, so that what else the machine does falls on both.
func ratio(a, b []float64) float64 {
	var each []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			each = append(each, a[i]/b[i])
		}
	}
	return median(each)
}

func (r *results) ratio(workload string, conns int, target, to string) float64 {
	a, b := r.find(workload, conns, target), r.find(workload, conns, to)
	if a == nil || b == nil {
		return 0
	}
	return ratio(a.Rate, b.Rate)
}

// write prints the tables.
func (r *results) write(out io.Writer, b *bench) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	title := ""
	for _, c := range r.Cells {
		if now := fmt.Sprintf("%s, C=%d", c.Title, c.Conns); now != title {
			title = now
			if err := w.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(out, "\n%s\n", title)
			fmt.Fprintln(w, "\ta second\tp50 ms\tp99 ms\tcpu µs\tdb µs\twrong\t× hello\t× direct\t× pocketbase\t")
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.2f\t%.0f\t%.0f\t%d\t%s\t%s\t%s\t\n", c.Target,
			median(c.Rate), median(c.P50), median(c.P99), median(c.CPU), median(c.DB), c.Wrong,
			times(r.ratio(c.Workload, c.Conns, c.Target, "hello")),
			times(r.ratio(c.Workload, c.Conns, c.Target, "direct")),
			times(r.ratio(c.Workload, c.Conns, c.Target, "pocketbase")))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(r.Beside) > 0 {
		fmt.Fprintf(out, "\n%d people reading by id, alone and beside one writer\n", readers)
		fmt.Fprintln(w, "\talone\tbeside\tkept\tp99 ms\twrites\twrong\t")
	}
	for _, c := range r.Beside {
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t%.2f\t%.0f\t%d\t\n", c.Target, median(c.Alone),
			median(c.With), ratio(c.With, c.Alone), median(c.P99), median(c.Writer), c.Wrong)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nmemory in MB, and ms from the start to the first 200")
	fmt.Fprintln(w, "\tidle\tmost\tstart\t")
	for _, t := range b.targets {
		if t.missing == nil {
			m := r.Memory[t.name]
			fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t\n", t.name, m.Idle, m.Most, m.Start)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return r.writeGoals(out, b)
}

// times prints a ratio, and nothing for one that was not measured.
func times(ratio float64) string {
	if ratio == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ratio)
}

// writeGoals prints each goal with what was measured, and why a target is missing.
func (r *results) writeGoals(out io.Writer, b *bench) error {
	fmt.Fprintln(out, "\ngoals")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, g := range r.goals() {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", g.Mark, g.Text, g.Got)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, t := range b.targets {
		if t.missing != nil {
			fmt.Fprintf(out, "%s is not available: %v\n", t.name, t.missing)
		}
	}
	for _, c := range r.Cells {
		if c.First != "" {
			fmt.Fprintf(out, "%s, %s, C=%d: %s\n", c.Target, c.Title, c.Conns, c.First)
		}
	}
	for _, c := range r.Beside {
		if c.First != "" {
			fmt.Fprintf(out, "%s, beside a writer: %s\n", c.Target, c.First)
		}
	}
	return nil
}

// document is everything that was measured, with all rounds.
func (r *results) document(b *bench) any {
	missing := map[string]string{}
	for _, t := range b.targets {
		if t.missing != nil {
			missing[t.name] = t.missing.Error()
		}
	}
	return struct {
		*results
		Goals   []goal
		Missing map[string]string
	}{r, r.goals(), missing}
}

func writeJSON(out io.Writer, all map[string]any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
