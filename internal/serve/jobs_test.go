package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// working is an app whose action starts a job, and whose orders start another.
const working = `app: working
auth: {sign_in: [password], sign_up: {fields: []}}
collections:
  users:
    fields: {wallet: {type: money, default: 0}}
    allow: {read: record == auth}
  orders:
    fields: {total: money, packed: {type: bool, default: false}}
    allow: {read: auth != null, create: {if: auth != null, fields: [total]}}
actions:
  top_up:
    allow: auth != null
    input: {amount: {type: money, min: 1}}
    output: {job: string}
jobs:
  charge:
    input: {user: users, amount: money}
  pack: {on: orders.created, if: record.total > 0}
  slow: {on: orders.updated}
errors:
  declined: The card was declined.
-- actions/top_up.ts --
import { action } from "galley";
export default action("top_up", async (tx, input) => {
  const { id } = await tx.jobs.charge({ user: tx.auth.id, amount: input.amount });
  return { job: id };
});
-- jobs/charge.ts --
import { job, fail } from "galley";
export default job("charge", async (job, { user, amount }) => {
  const payment = await job.step("charge", async ({ key }) => {
    if (amount === 13) throw fail("declined");
    return { id: "pay " + key };
  });
  job.progress(1, 2);
  await job.transaction("credit", async (tx) => {
    const { wallet } = await tx.db.users.get(user);
    await tx.db.users.update(user, { wallet: wallet + amount });
  });
  return payment;
});
-- jobs/pack.ts --
import { job } from "galley";
export default job("pack", async (job, order) => {
  await job.transaction("pack", async (tx) => {
    await tx.db.orders.update(order.id, { packed: true });
  });
});
-- jobs/slow.ts --
import { job } from "galley";
export default job("slow", async (job) => { await job.sleep("rest", "1h"); });
`

// awaitJob asks for a job until it is in a state.
func (x *nodes) awaitJob(token, id, state string) map[string]any {
	x.t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		r := x.ask(x.proxy.URL, http.MethodGet, "/api/jobs/"+id, token, "", "")
		x.want("the job", r, http.StatusOK)
		var job map[string]any
		if err := json.Unmarshal([]byte(r.body), &job); err != nil {
			x.t.Fatal(err)
		}
		if job["state"] == state {
			return job
		}
		if goes := job["state"] == "waiting" || job["state"] == "running"; !goes ||
			r.header.Get("Retry-After") == "" {
			x.t.Fatalf("the job is %s, %v\n%s", r.body, r.header, x.log)
		}
		again := time.NewTimer(20 * time.Millisecond)
		select {
		case <-again.C:
		case <-late.C:
			x.t.Fatalf("the job is %s\n%s", r.body, x.log)
		}
	}
}

func TestJobsOfAnApp(t *testing.T) { onEach(t, jobsOfAnApp) }

func jobsOfAnApp(t *testing.T, join joining) {
	x := openNodes(t, join, 2, working)
	ana, bo := x.signUp(x.proxy.URL, "ana@example.com"), x.signUp(x.proxy.URL, "bo@example.com")
	topUp := func(amount int) string {
		r := x.ask(x.proxy.URL, http.MethodPost, "/api/actions/top_up", ana,
			fmt.Sprint("key-", amount), fmt.Sprintf(`{"amount":%d}`, amount))
		x.want("the action", r, http.StatusOK)
		return x.part(r.body, "job")
	}
	id := topUp(500)
	job := x.awaitJob(ana, id, "done")
	if text := fmt.Sprintf("%v %v %v", job["result"], job["progress"], job["name"]); text !=
		"map[id:pay "+id+"/charge] map[done:1 total:2] charge" {
		t.Errorf("the job is %v", job)
	}
	if again := topUp(500); again != id {
		t.Errorf("the same call began another job, %s", again)
	}
	r := x.ask(x.proxy.URL, http.MethodGet, "/api/auth/session", ana, "", "")
	if !strings.Contains(r.body, `"wallet":500`) {
		t.Errorf("after one top-up: %s", r.body)
	}

	// To others the job is not there, and what has ended cannot be ended.
	x.want("another's", x.ask(x.proxy.URL, http.MethodGet, "/api/jobs/"+id, bo, "", ""), 404)
	x.want("another's", x.ask(x.proxy.URL, http.MethodDelete, "/api/jobs/"+id, bo, "", ""), 404)
	x.want("a stranger's", x.ask(x.proxy.URL, http.MethodGet, "/api/jobs/"+id, "", "", ""), 404)
	x.want("no id", x.ask(x.proxy.URL, http.MethodGet, "/api/jobs/x", ana, "", ""), 404)
	x.want("an end", x.ask(x.proxy.URL, http.MethodDelete, "/api/jobs/"+id, ana, "", ""), 409)

	job = x.awaitJob(ana, topUp(13), "failed")
	if p, _ := job["problem"].(map[string]any); p["code"] != "declined" ||
		p["detail"] != "The card was declined." {
		t.Errorf("the problem is %v", job)
	}

	// What a change starts is done for every change, and for no other.
	for total := range 20 {
		x.want("an order", x.ask(x.proxy.URL, http.MethodPost, "/api/orders", ana,
			fmt.Sprint("order-", total), fmt.Sprintf(`{"total":%d}`, total)), 201)
	}
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		r := x.ask(x.proxy.URL, http.MethodGet, "/api/orders?filter=packed", ana, "", "")
		if n := strings.Count(r.body, `"packed":true`); n == 19 {
			break
		} else if n > 19 {
			t.Fatalf("%d orders are packed", n)
		}
		again := time.NewTimer(20 * time.Millisecond)
		select {
		case <-again.C:
		case <-late.C:
			t.Fatalf("the orders are %s\n%s", r.body, x.log)
		}
	}
}
