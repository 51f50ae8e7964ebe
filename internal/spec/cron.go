package spec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schedule is a cron expression that was read: when the clock on the wall fits it. It
// is immutable. A time of day that the clock leaps over in spring counts at the instant
// of the leap; one that comes twice in autumn counts once, unless every hour counts.
type Schedule struct {
	minutes, hours, days, months, weekdays uint64
	// anyHour, anyDay and anyWeekday tell which fields are a star.
	anyHour, anyDay, anyWeekday bool
}

// cronFields are the five fields in their order.
var cronFields = [...]struct {
	name        string
	least, most int
	words       string
}{
	{"minute", 0, 59, ""},
	{"hour", 0, 23, ""},
	{"day of the month", 1, 31, ""},
	{"month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"},
	{"day of the week", 0, 7, "sun mon tue wed thu fri sat"},
}

// cronYears is how far ahead a day that fits is looked for: the 29th of February falls
// on each day of the week within them.
const cronYears = 40

// ParseCron reads five fields: minute, hour, day of the month, month, day of the week.
// A field is a star, or numbers, names, ranges and steps with commas between them:
// "*/15 9-17 * * MON-FRI". Where both days are given, either is enough, as in every
// cron. It refuses what never comes.
func ParseCron(text string) (*Schedule, error) {
	parts := strings.Fields(text)
	if len(parts) != len(cronFields) {
		return nil, fmt.Errorf("a schedule has five fields, minute hour day month weekday, "+
			"and this one %d", len(parts))
	}
	s := &Schedule{anyHour: parts[1] == "*", anyDay: parts[2] == "*", anyWeekday: parts[4] == "*"}
	for i, to := range [...]*uint64{&s.minutes, &s.hours, &s.days, &s.months, &s.weekdays} {
		for item := range strings.SplitSeq(parts[i], ",") {
			bits, err := cronItem(i, item)
			if err != nil {
				return nil, err
			}
			*to |= bits
		}
	}
	s.weekdays |= s.weekdays >> 7 & 1 // 7 is Sunday, too
	if s.Next(time.Unix(0, 0), time.UTC).IsZero() {
		return nil, errors.New("no day fits this schedule")
	}
	return s, nil
}

// cronItem reads one number, name, range or step of a field.
func cronItem(field int, item string) (uint64, error) {
	f := cronFields[field]
	wrong := func() error {
		return fmt.Errorf("%q is no %s, which lies between %d and %d", item, f.name, f.least, f.most)
	}
	span, stepText, stepped := strings.Cut(item, "/")
	step := 1
	if stepped {
		n, err := strconv.Atoi(stepText)
		if err != nil || n < 1 || n > f.most {
			return 0, wrong()
		}
		step = n
	}
	from, to := f.least, f.most
	if span != "*" {
		first, last, ranged := strings.Cut(span, "-")
		var ok bool
		if from, ok = cronNumber(field, first); !ok {
			return 0, wrong()
		}
		switch {
		case ranged:
			if to, ok = cronNumber(field, last); !ok || to < from {
				return 0, wrong()
			}
		case !stepped:
			to = from
		}
	}
	var bits uint64
	for n := from; n <= to; n += step {
		bits |= 1 << n
	}
	return bits, nil
}

func cronNumber(field int, text string) (int, bool) {
	f := cronFields[field]
	if i := slices.Index(strings.Fields(f.words), strings.ToLower(text)); i >= 0 {
		return i + f.least, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= f.least && n <= f.most && len(text) <= 2 && text[0] != '+'
}

// Next returns the first instant after the given one at which the clock of the place
// fits the schedule.
func (s *Schedule) Next(after time.Time, place *time.Location) time.Time {
	start := after.In(place)
	day := time.Date(start.Year(), start.Month(), start.Day(), 0, 0, 0, 0, place)
	for range cronYears * 366 {
		y, m, d := day.Date()
		if s.fitsDay(day) {
			if t := s.on(y, m, d, after, place); !t.IsZero() {
				return t
			}
		}
		day = time.Date(y, m, d+1, 0, 0, 0, 0, place)
	}
	return time.Time{}
}

func (s *Schedule) fitsDay(day time.Time) bool {
	if s.months>>int(day.Month())&1 == 0 {
		return false
	}
	inMonth, inWeek := s.days>>day.Day()&1 == 1, s.weekdays>>int(day.Weekday())&1 == 1
	if s.anyDay || s.anyWeekday {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

// on returns the first instant of the day that fits and is after the given one, the
// zero time if there is none.
func (s *Schedule) on(y int, m time.Month, d int, after time.Time, place *time.Location) time.Time {
	if s.anyHour {
		end := time.Date(y, m, d+1, 0, 0, 0, 0, place)
		t := time.Date(y, m, d, 0, 0, 0, 0, place)
		if !t.After(after) {
			t = after.Truncate(time.Minute).Add(time.Minute)
		}
		for ; t.Before(end); t = t.Add(time.Minute) {
			if s.minutes>>t.In(place).Minute()&1 == 1 {
				return t.In(place)
			}
		}
		return time.Time{}
	}
	for hour := range 24 {
		for minute := range 60 {
			if s.hours>>hour&1 == 0 || s.minutes>>minute&1 == 0 {
				continue
			}
			t := time.Date(y, m, d, hour, minute, 0, 0, place)
			if t.Hour() != hour || t.Minute() != minute { // the clock leaps over it
				t = leap(t, place)
			}
			if t.After(after) {
				return t
			}
		}
	}
	return time.Time{}
}

// leap returns the instant at which the clock leapt, for a time near it.
func leap(near time.Time, place *time.Location) time.Time {
	start, end := near.ZoneBounds()
	for _, t := range [...]time.Time{start, end} {
		if d := t.Sub(near); !t.IsZero() && d.Abs() <= 3*time.Hour {
			return t.In(place)
		}
	}
	return near
}
