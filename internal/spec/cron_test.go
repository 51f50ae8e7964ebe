package spec_test

import (
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/spec"
)

func TestNextFollowsTheClockOnTheWall(t *testing.T) {
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, cron, after, want string
	}{
		{"a weekday", "0 9 * * MON", "2026-11-21T10:00:00Z", "2026-11-23T09:00:00Z"},
		{"strictly after", "0 9 * * MON", "2026-11-23T09:00:00Z", "2026-11-30T09:00:00Z"},
		{"steps", "*/15 9-17 * * 1-5", "2026-11-23T17:50:00Z", "2026-11-24T09:00:00Z"},
		{"either day", "0 0 1 * fri", "2026-11-21T00:00:00Z", "2026-11-27T00:00:00Z"},
		{"Sunday is 7", "30 6 * * 7", "2026-11-21T00:00:00Z", "2026-11-22T06:30:00Z"},
		{"a leap day", "0 0 29 2 *", "2026-11-21T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"summer time", "0 9 * 7 *", "2026-06-30T12:00:00Z", "2026-07-01T08:00:00Z"},
		{"leapt over", "30 1 29 3 *", "2026-03-01T00:00:00Z", "2026-03-29T01:00:00Z"},
		{"comes twice, counts once", "30 1 * * *", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
		{"every hour of a long day", "30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
	} {
		s, err := spec.ParseCron(c.cron)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Next(after, lisbon).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %q after %s is %s, want %s", c.name, c.cron, c.after, got, c.want)
		}
	}
}

func TestParseCronRefusesWhatNeverComes(t *testing.T) {
	for _, text := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *",
		"* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "0 0 31 2 *",
		"* * * * * *", "1,,2 * * * *", "-1 * * * *", "+1 * * * *"} {
		if _, err := spec.ParseCron(text); err == nil {
			t.Errorf("%q is taken as a schedule", text)
		}
	}
}
