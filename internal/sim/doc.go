// Package sim is tests only: several engines on one database, callers who repeat
// themselves, commits that fail and followers that die, drawn by one printed seed; and
// histories of what concurrent callers heard, for which an order is looked for that
// explains them. It promises nothing to anybody; what it asks for stands in
// docs/guarantees.md.
package sim
