package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// write prints the table and the goals.
func write(out io.Writer, b *bench, all []*result) error {
	fmt.Fprintf(out, "%d subscribers of one query, each change committed and flushed by Galley (on %s) "+
		"and PocketBase\n\n", b.subscribers, b.on)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\tdeliveries/s\tp50 ms\tp99 ms\tkB a connection\tµs beside %d\tbeside %d\t\n",
		fewFilters, manyFilters)
	of := map[string]*result{}
	for _, r := range all {
		of[r.name] = r
		fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%.1f\t%.1f\t%s\t%s\t\n", r.name, r.deliveries,
			r.paced.Quantile(.5).Seconds()*1e3, r.paced.Quantile(.99).Seconds()*1e3,
			r.connection/1e3, micros(r.few.Microseconds()), micros(r.many.Microseconds()))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	own := of["galley"]
	if own == nil {
		return nil
	}
	fmt.Fprintln(out, "\ngoals")
	goal := func(ok bool, text, got string, values ...any) {
		mark := "not reached"
		if ok {
			mark = "reached    "
		}
		fmt.Fprintf(out, "  %s  %s: "+got+"\n", append([]any{mark, text}, values...)...)
	}
	if c := of["centrifuge"]; c != nil {
		x := own.deliveries / c.deliveries
		goal(x >= .7, "deliveries/s ≥ 0.7 of Centrifugo's engine", "%.2f", x)
	}
	if p := of["pocketbase"]; p != nil {
		x := own.deliveries / p.deliveries
		goal(x >= 4, "deliveries/s ≥ 4 × PocketBase's", "%.2f", x)
	}
	late := own.paced.Quantile(.99)
	goal(late.Milliseconds() <= 60, fmt.Sprintf("p99 to arrival ≤ 60 ms at %d deliveries/s",
		pace*b.subscribers), "%v", late)
	goal(own.many <= 2*own.few, "a change beside 10,000 filters ≤ 2 × beside 10", "%.2f",
		float64(own.many)/float64(own.few))
	goal(own.connection <= 20e3, "≤ 20 kB an idle connection", "%.1f kB", own.connection/1e3)
	return nil
}

func micros(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
