package appfile_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/spec/appfile"
)

const jobApp = `app: shop
collections:
  orders: {fields: {total: money}}
jobs:
`

func TestJobsAreRead(t *testing.T) {
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(jobApp + `
  # Takes the money.
  charge:
    input: {amount: {type: money, min: 1}, card: string}
    retry: 3
    timeout: 30s
    at_once: 2
    once_per: input.card
  pack: {on: orders.created, if: record.total > 0}
  report: {cron: 0 9 * * MON}
`)})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	charge, pack, report := s.Job("charge"), s.Job("pack"), s.Job("report")
	if charge.Doc != "Takes the money." || charge.Input.Len() != 2 || charge.Retry != 3 ||
		charge.Timeout != 30*time.Second || charge.AtOnce != 2 ||
		charge.OncePer.Source != "input.card" {
		t.Errorf("charge is %+v", charge)
	}
	if pack.On == nil || pack.On.Collection != "orders" || pack.If.Source != "record.total > 0" ||
		pack.Retry != 8 {
		t.Errorf("pack is %+v", pack)
	}
	if report.Cron == nil || report.Cron.Schedule == nil {
		t.Errorf("report is %+v", report)
	}
}

func TestWrongJobsAreToldAtTheirPlaces(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"two causes", "  a: {on: orders.created, cron: 0 9 * * *}",
			"5:33 a job has on or cron, not both"},
		{"input and on", "  a: {on: orders.created, input: {n: int}}",
			"5:34 a job that starts on a change has the record as its input"},
		{"input and cron", "  a: {cron: 0 9 * * *, input: {n: int}}",
			"5:31 a job that starts by the clock has no input"},
		{"if without on", "  a: {if: true}", "5:11 if narrows on, and there is no on"},
		{"retry", "  a: {retry: many}", "5:14 retry is a whole number from 0 to 50"},
		{"at_once", "  a: {at_once: 0}", "5:16 at_once is a whole number from 1 to 1000"},
		{"timeout", "  a: {timeout: 2d}", "5:16 timeout lies between 100ms and 1h"},
		{"unknown key", "  a: {retries: 2}", `5:7 a has no key "retries"; did you mean retry?`},
		{"twice", "  a: {retry: 2}\n  a: {retry: 3}", "6:3 a is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(jobApp + c.yaml)})
			if len(findings) == 0 {
				t.Fatal("it was taken")
			}
			f := findings[0]
			got := fmt.Sprintf("%d:%d %s", f.Pos.Line, f.Pos.Column, f.Message)
			if f.Help != "" {
				got += "; " + f.Help
			}
			if len(got) < len(c.want) || got[:len(c.want)] != c.want {
				t.Errorf("it says %q, not %q", got, c.want)
			}
		})
	}
}
