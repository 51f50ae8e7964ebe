package blackbox_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func oddSignIn(a *arena) (f found) {
	odd := []string{`{}`, `[]`, `null`, `true`, `0`, `1e400`, `""`, `["` + password + `"]`,
		`{"$ne":null}`, `{"$gt":""}`,
		`"` + strings.Repeat("a", 900_000) + `"`, `"\u0000"`, `"` + password + `\u0000"`, `" ` +
			password + `"`}
	for _, o := range odd {
		f.refused("password "+o[:min(len(o), 30)], a.nobody.do("POST", "/api/auth/sign-in",
			`{"email":"ana@example.com","password":`+o+`}`))
		f.refused("email "+o[:min(len(o), 30)], a.nobody.do("POST", "/api/auth/sign-in",
			`{"email":`+o+`,"password":"`+password+`"}`))
		f.refused("sign-up "+o[:min(len(o), 30)], a.nobody.do("POST", "/api/auth/sign-up",
			`{"email":`+o+`,"password":"`+password+`","name":"x"}`))
		if o != `"" ` {
			f.refused("new password "+o[:min(len(o), 30)], a.ana.do("PUT", "/api/auth/password",
				`{"old":`+o+`,"new":"another-password"}`))
		}
		f.refused("refresh "+o[:min(len(o), 30)], a.nobody.do("POST", "/api/auth/refresh",
			`{"refresh_token":`+o+`}`))
	}
	for _, o := range []string{`{}`, `[]`, `"true"`, `1`} {
		f.refused("token "+o, a.nobody.do("POST", "/api/auth/sign-in",
			`{"email":"ana@example.com","password":"`+password+`","token":`+o+`}`))
	}
	if _, got := a.signIn(a.ana, password); got.status != 200 {
		a.t.Fatalf("the control is %v", got)
	}
	return f
}

func TestARefreshTokenShownAgainEndsItsSession(t *testing.T) {
	a := open(t, flaw{}, false)
	if got := a.nobody.do("GET", "/api/auth/session", "").want(t, 200); string(got.body) != `{"user":null}` {
		t.Errorf("the session of nobody is %s", got.body)
	}
	refresh := func(token string) answer {
		return a.nobody.do("POST", "/api/auth/refresh", `{"refresh_token":"`+token+`"}`)
	}
	for _, renewals := range []int{1, 2, 5} {
		_, got := a.signIn(a.ana, password)
		stolen := got.text("refresh_token")
		for next := stolen; renewals > 0; renewals-- {
			got = refresh(next).want(t, 200)
			next = got.text("refresh_token")
		}
		holder := &caller{}
		*holder = *a.nobody
		holder.token = got.text("token")
		holder.do("GET", "/api/auth/session", "").want(t, 200)
		refresh(stolen[1:]).want(t, 401)
		holder.do("GET", "/api/auth/session", "").want(t, 200)
		refresh(stolen).want(t, 401)
		holder.do("GET", "/api/auth/session", "").want(t, 401)
		refresh(got.text("refresh_token")).want(t, 401)
	}
}

// takesEmptyObjects lets {} pass for the password.
func takesEmptyObjects(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/auth/sign-in" {
			r2, body := bodyOf(r)
			r = withBody(r2, strings.Replace(body, `"password":{}`, `"password":"`+password+`"`, 1))
		}
		next.ServeHTTP(w, r)
	})
}

func oldSessions(a *arena) (f found) {
	other, _ := a.signIn(a.ana, password)
	other.do("GET", "/api/auth/session", "").want(a.t, 200)
	if got := a.ana.do("PUT", "/api/auth/password",
		`{"old":"wrong-password","new":"fresh-password-1"}`); got.status < 400 {
		f.add("a wrong old password: %v", got)
	}
	a.ana.do("PUT", "/api/auth/password",
		`{"old":"`+password+`","new":"fresh-password-1"}`).want(a.t, 204)
	if got := other.do("GET", "/api/auth/session", ""); got.status != 401 {
		f.add("another session after the change: %v", got)
	}
	if got := other.do("GET", "/api/notes", ""); got.status != 401 {
		f.add("its reads: %v", got)
	}
	a.ana.do("GET", "/api/auth/session", "").want(a.t, 200)
	if _, got := a.signIn(a.ana, password); got.status != 401 {
		f.add("the old password: %v", got)
	}
	again, got := a.signIn(a.ana, "fresh-password-1")
	got.want(a.t, 200)
	again.do("POST", "/api/auth/sign-out", "").want(a.t, 204)
	if got := again.do("GET", "/api/auth/session", ""); got.status != 401 {
		f.add("a session that signed out: %v", got)
	}
	return f
}

// keepsSessions takes the session of who changed his password for all that he had.
func keepsSessions() func(http.Handler) http.Handler {
	var mu sync.Mutex
	var current string
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.Method == http.MethodPut {
				current = r.Header.Get("Authorization")
			} else if current != "" && r.Header.Get("Authorization") != "" {
				r.Header.Set("Authorization", current)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// wrongTries is how many wrong passwords one address may send, as the house says.
const wrongTries = 20

func forgedAddresses(a *arena) (f found) {
	headers := func(i int) []string {
		ip := fmt.Sprintf("10.0.0.%d", i)
		return []string{"X-Forwarded-For", ip, "X-Real-Ip", ip, "Forwarded", "for=" + ip,
			"True-Client-Ip", ip, "Cf-Connecting-Ip", ip, "X-Client-Ip", ip}
	}
	limited := false
	for i := range wrongTries + 5 {
		got := a.nobody.do("POST", "/api/auth/sign-in",
			fmt.Sprintf(`{"email":"u%d@example.com","password":"wrong-password"}`, i),
			headers(i)...)
		if limited = got.status == 429; limited {
			break
		}
	}
	if !limited {
		f.add("%d wrong tries with forged addresses were not stopped", wrongTries+5)
	}
	a.nobody.do("GET", "/api/products", "").want(a.t, 200)
	return f
}

func believesForwarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ip := r.Header.Get("X-Forwarded-For"); ip != "" {
			r.RemoteAddr = ip + ":1"
		}
		next.ServeHTTP(w, r)
	})
}

func otherOrigins(a *arena) (f found) {
	got := a.nobody.do("POST", "/api/auth/sign-in",
		`{"email":"ana@example.com","password":"`+password+`"}`).want(a.t, 200)
	cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
	browser := &caller{t: a.t, base: a.base}
	same := []string{"Cookie", cookie, "Origin", a.base, "Sec-Fetch-Site", "same-origin"}
	note := browser.do("POST", "/api/notes", `{"title":"x"}`, append(same, key()...)...).want(a.t,
		201).text("id")
	for _, h := range [][]string{{"Origin", "https://evil.example"}, {"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example", "Sec-Fetch-Site",
			"cross-site"}, {"Origin", a.base + ".evil.example"}} {
		h = append(h, "Cookie", cookie)
		f.refused(fmt.Sprint("delete ", h[:2]), browser.do("DELETE", "/api/notes/"+note, "", h...))
		f.refused(fmt.Sprint("patch ", h[:2]), browser.do("PATCH", "/api/notes/"+note,
			`{"title":"y"}`, h...))
		f.refused(fmt.Sprint("sign-out ", h[:2]), browser.do("POST", "/api/auth/sign-out", "",
			h...))
		f.refused(fmt.Sprint("sign-in ", h[:2]), browser.do("POST", "/api/auth/sign-in",
			`{"email":"bo@example.com","password":"`+password+`"}`, h...))
		read := browser.do("GET", "/api/notes", "", h...)
		if read.header.Get("Access-Control-Allow-Origin") != "" ||
			read.header.Get("Access-Control-Allow-Credentials") != "" {
			f.add("another origin may read: %v", read.header)
		}
		pre := browser.do("OPTIONS", "/api/notes", "", append(h, "Access-Control-Request-Method",
			"POST")...)
		for name := range pre.header {
			if strings.HasPrefix(name, "Access-Control-") {
				f.add("a preflight is answered with %s", name)
			}
		}
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded",
		"multipart/form-data"} { // what a form can send
		f.refused(kind, browser.do("POST", "/api/notes", `{"title":"x"}`, append(slices.Clone(same),
			"Content-Type", kind, "Idempotency-Key", "k")...))
	}
	return f
}

func trustsOrigins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Origin")
		r.Header.Del("Sec-Fetch-Site")
		next.ServeHTTP(w, r)
	})
}

// enumeration compares the answers for addresses with and without an account. The
// times must be alike: both take a password's hash, which is a hundred times what
// everything else takes.
func enumeration(a *arena) (f found) {
	_, got := a.signIn(a.ana, password)
	got.want(a.t, 200)
	ask := func(email string) (answer, time.Duration) {
		start := time.Now()
		got := a.nobody.do("POST", "/api/auth/sign-in",
			`{"email":"`+email+`","password":"wrong-password"}`)
		return got, time.Since(start)
	}
	var known, unknown []time.Duration
	for i := range 12 {
		yes, y := ask("ana@example.com")
		no, n := ask(fmt.Sprintf("nobody%d@example.com", i))
		if yes.same() != no.same() || yes.status != 401 {
			f.add("known: %v, unknown: %v", yes, no)
		}
		known, unknown = append(known, y), append(unknown, n)
	}
	slices.Sort(known)
	slices.Sort(unknown)
	if k, u := known[len(known)/2], unknown[len(unknown)/2]; u < k/3 || k < u/3 {
		f.add("half of the known take %v, of the unknown %v", k, u)
	}
	return f
}

// tellsUnknown answers at once where there is no account.
func tellsUnknown(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, body := bodyOf(r)
		if strings.Contains(body, "nobody") {
			r = withBody(r, `{"email":"","password":""}`)
		}
		next.ServeHTTP(w, r)
	})
}

// guessing tries many passwords of one account; its owner must not be locked out.
func guessing(a *arena) (f found) {
	a.ana.do("GET", "/api/auth/session", "").want(a.t, 200)
	right := 0
	for i := range 40 {
		got := a.nobody.do("POST", "/api/auth/sign-in",
			fmt.Sprintf(`{"email":"bo@example.com","password":"guess-number-%d"}`, i))
		if got.status == 401 {
			right++
		}
	}
	if right > wrongTries {
		f.add("%d guesses were looked at", right)
	}
	got := a.nobody.do("POST", "/api/auth/sign-in",
		`{"email":"carla@example.com","password":"guess-number-1"}`)
	if got.status == 429 && got.header.Get("Retry-After") == "" {
		f.add("it is not said how long to wait: %v", got)
	}
	a.bo.do("GET", "/api/auth/session", "").want(a.t, 200)
	return f
}

// newAddressEachTime counts nobody twice.
func newAddressEachTime() func(http.Handler) http.Handler {
	var mu sync.Mutex
	n := 0
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			n++
			r.RemoteAddr = fmt.Sprintf("10.0.%d.%d:1", n/250, n%250)
			mu.Unlock()
			r, body := bodyOf(r)
			if strings.Contains(body, "guess") {
				r = withBody(r, strings.Replace(body, `"bo@`, fmt.Sprintf(`"bo%d@`, n), 1))
			}
			next.ServeHTTP(w, r)
		})
	}
}

// lockingOut guesses until it is stopped, while the owner is signed in nowhere; he must
// still be able to sign in from a place of his own.
func lockingOut(a *arena) (f found) {
	a.bo.do("POST", "/api/auth/sign-out", "").want(a.t, 204)
	stopped := false
	for i := range wrongTries {
		got := a.nobody.do("POST", "/api/auth/sign-in",
			fmt.Sprintf(`{"email":"bo@example.com","password":"guess-number-%d"}`, i))
		stopped = stopped || got.status == 429
	}
	if !stopped {
		a.t.Fatal("the guesser was not stopped")
	}
	r := httptest.NewRequest("POST", a.base+"/api/auth/sign-in",
		strings.NewReader(`{"email":"bo@example.com","password":"`+password+`"}`))
	r.RemoteAddr = "203.0.113.9:1"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	a.front.Config.Handler.ServeHTTP(w, r)
	if w.Code != 200 {
		f.add("the owner is locked out: %d %s", w.Code, w.Body)
	}
	return f
}

// oneAddress takes everybody for the same.
func oneAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "127.0.0.1:1"
		next.ServeHTTP(w, r)
	})
}

// signUps is how many accounts one address may make in a quarter of an hour.
const signUps = 30

func manyAccounts(a *arena) (f found) {
	made := 2 // the arena's own
	for i := range signUps + 10 {
		got := a.nobody.do("POST", "/api/auth/sign-up", fmt.Sprintf(
			`{"email":"u%d@example.com","password":"%s","name":"U"}`, i, password))
		if got.status == 201 {
			made++
		}
	}
	// Who takes long gets one more from time to time.
	if most := signUps + int(time.Since(a.began)/(15*time.Minute/signUps)); made > most {
		f.add("one address made %d accounts", made)
	}
	_, got := a.signIn(a.ana, password)
	got.want(a.t, 200)
	return f
}
