package main

import (
	"fmt"
	"strings"
)

// goal is one aim of the project with what this run measured.
type goal struct {
	Text string
	Got  string
	// Mark is reached, not reached, or not measured.
	Mark string
}

// goals compares the run with what Galley aims at. Ratios are asked for both widths
// and count by the worse.
func (r *results) goals() []goal {
	if r.database == "postgres" {
		return []goal{
			r.rateGoal("get by id ≥ 0.8 of direct", "get", "galley", "direct", 0.8),
			r.rateGoal("list of 30 ≥ 0.8 of direct", "list", "galley", "direct", 0.8),
			r.rateGoal("create ≥ 0.8 of direct", "create", "galley", "direct", 0.8),
			r.rateGoal("checkout ≥ 1.2 × direct", "checkout", "galley", "direct", 1.2),
			r.rateGoal("checkout of one product ≥ 3 × direct", "hot", "galley", "direct", 3),
		}
	}
	const peer = "pocketbase"
	return []goal{
		r.rateGoal("get by id ≥ 0.85 of direct", "get", "galley", "direct", 0.85),
		r.rateGoal("get by id ≥ 3 × PocketBase", "get", "galley", peer, 3),
		r.tailGoal("get by id, p99 at C=64 ≤ 20 ms", "get", 20),
		r.rateGoal("list of 30 ≥ 0.85 of direct", "list", "galley", "direct", 0.85),
		r.rateGoal("list of 30 ≥ 3 × PocketBase", "list", "galley", peer, 3),
		r.rateGoal("create ≥ 2 × direct", "create", "galley", "direct", 2),
		r.rateGoal("create ≥ 3 × PocketBase", "create", "galley", peer, 3),
		r.rateGoal("checkout ≥ 1.5 × direct", "checkout", "galley", "direct", 1.5),
		r.rateGoal("checkout ≥ 5 × PocketBase", "checkout", "galley", peer, 5),
		r.hotGoal("checkout of one product not slower than of any"),
		r.tailGoal("checkout, p99 at C=64 ≤ 40 ms", "checkout", 40),
		r.tailGoal("checkout of one product, p99 at C=64 ≤ 40 ms", "hot", 40),
		r.rateGoal("checkout in Go ≥ 1.2 × TypeScript", "checkout", "galley-go", "galley", 1.2),
		r.besideGoal("100 readers beside a writer keep ≥ 0.8", 0.8),
		r.memoryGoal("memory idle ≤ 45 MB", 45, func(m memory) float64 { return m.Idle }),
		r.memoryGoal("memory at most ≤ 200 MB", 200, func(m memory) float64 { return m.Most }),
		r.memoryGoal("start to first 200 ≤ 60 ms", 60, func(m memory) float64 { return m.Start }),
	}
}

// mark makes a goal of what was measured; got is empty for what was not.
func mark(text string, got []string, good bool) goal {
	g := goal{Text: text, Got: strings.Join(got, ", "), Mark: "not measured"}
	if len(got) > 0 {
		g.Mark = "not reached"
		if good {
			g.Mark = "reached"
		}
	}
	return g
}

func (r *results) rateGoal(text, workload, target, to string, need float64) goal {
	var got []string
	good := true
	for _, width := range widths {
		if v := r.ratio(workload, width, target, to); v > 0 {
			got = append(got, fmt.Sprintf("C=%d %.2f", width, v))
			good = good && v >= need
		}
	}
	return mark(text, got, good)
}

// hotGoal compares one product with any; a twentieth is noise.
func (r *results) hotGoal(text string) goal {
	const noise = 0.95
	var got []string
	good := true
	for _, width := range widths {
		hot, all := r.find("hot", width, "galley"), r.find("checkout", width, "galley")
		if hot != nil && all != nil && median(all.Rate) > 0 {
			v := median(hot.Rate) / median(all.Rate)
			got = append(got, fmt.Sprintf("C=%d %.2f", width, v))
			good = good && v >= noise
		}
	}
	return mark(text, got, good)
}

func (r *results) tailGoal(text, workload string, most float64) goal {
	c := r.find(workload, 64, "galley")
	if c == nil {
		return mark(text, nil, false)
	}
	v := median(c.P99)
	return mark(text, []string{fmt.Sprintf("%.1f ms", v)}, v > 0 && v <= most)
}

func (r *results) besideGoal(text string, need float64) goal {
	for _, c := range r.Beside {
		if c.Target == "galley" {
			v := ratio(c.With, c.Alone)
			return mark(text, []string{fmt.Sprintf("%.2f", v)}, v >= need)
		}
	}
	return mark(text, nil, false)
}

func (r *results) memoryGoal(text string, most float64, value func(memory) float64) goal {
	m, ok := r.Memory["galley"]
	if !ok {
		return mark(text, nil, false)
	}
	return mark(text, []string{fmt.Sprintf("%.0f", value(m))}, value(m) <= most)
}
