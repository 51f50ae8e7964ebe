package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// goal is the least share of the direct driver's tpmC that Galley aims at.
const goal = 0.5

// report prints the rates, and the ratios to the first system, which is the direct one.
func report(out io.Writer, targets []*target) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\ttpmC\t× direct\t")
	for v := range verbs {
		fmt.Fprintf(w, "%v p50/p99 ms\t", v)
	}
	fmt.Fprintln(w)
	for _, t := range targets {
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t", t.name, median(t.rates), t.ratio(targets[0]))
		for v := range verbs {
			took := &t.tally.took[v]
			fmt.Fprintf(w, "%.1f/%.1f\t", float64(took.Quantile(0.5).Microseconds())/1e3,
				float64(took.Quantile(0.99).Microseconds())/1e3)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "goals")
	for _, t := range targets[1:] {
		mark := "not reached"
		if t.ratio(targets[0]) >= goal {
			mark = "reached"
		}
		fmt.Fprintf(out, "  %s  %s tpmC ≥ %.1f of direct  %.2f\n", mark, t.name, goal,
			t.ratio(targets[0]))
	}
	return nil
}

// ratio is the median of the rounds' ratios to another system.
func (t *target) ratio(to *target) float64 {
	var each []float64
	for i := range min(len(t.rates), len(to.rates)) {
		if to.rates[i] > 0 {
			each = append(each, t.rates[i]/to.rates[i])
		}
	}
	return median(each)
}
