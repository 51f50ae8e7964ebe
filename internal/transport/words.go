package transport

import (
	"net/http"
	"slices"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
)

// Word is what is known of a problem's code.
type Word struct {
	Code string
	// Title is the sentence for people, the same at every occurrence.
	Title string
	// Status is the HTTP status of the code; 0 means that of the fault's kind.
	Status int
	// Advice says what the caller can do.
	Advice string
	// House reports that the code is one of ours and not the app's.
	House bool
}

// CodeMethod is the code of a request whose path exists but not for its method. It
// belongs to HTTP alone, so no fault has it.
const CodeMethod = "method_not_allowed"

// CodeUpgrade is the code of a request over plain HTTP to an address that speaks
// WebSocket.
const CodeUpgrade = "upgrade_required"

// house holds our own codes, in the order in which documents list them.
var house = []Word{
	{Code: "invalid_request", Title: "The request cannot be read.", Status: 400,
		Advice: "Read detail: it says what cannot be read, and where. Sending the same again " +
			"will not help."},
	{Code: "invalid_filter", Title: "The filter is not valid.", Status: 400,
		Advice: "The filter is CEL over the fields of the collection. at.column is the place of " +
			"the mistake. Remember to URL-encode it."},
	{Code: "invalid_cursor", Title: "The cursor is not valid.", Status: 400,
		Advice: "A cursor belongs to the filter, the order and the user it was given to. Start " +
			"again without one."},
	{Code: "idempotency_key_missing", Title: "This request needs an Idempotency-Key.", Status: 400,
		Advice: "Doing this twice would differ from doing it once. Send a fresh key, such as a " +
			"UUID, with each new request and the same key with each retry: " +
			`curl -H "Idempotency-Key: $(uuidgen)" …`},
	{Code: "unauthenticated", Title: "Sign in first.", Status: 401,
		Advice: "Send a session as a cookie or as Authorization: Bearer. If you sent one, it has " +
			"ended."},
	{Code: "forbidden", Title: "You may not do this.", Status: 403,
		Advice: "A rule of the app says no to you. The developer can ask galley why with the " +
			"request's id. An update must be allowed on the record as it is and as it would become."},
	{Code: "not_found", Title: "There is nothing here.", Status: 404,
		Advice: "It does not exist, or not for you: both look the same."},
	{Code: CodeMethod, Title: "This address does not take that method.", Status: 405,
		Advice: "The header Allow lists the methods that it takes."},
	{Code: "already_exists", Title: "This exists already.", Status: 409,
		Advice: "The id or a value that may occur only once is taken."},
	{Code: "in_use", Title: "Something else still needs this.", Status: 409,
		Advice: "Other records point to it. Delete or change those first."},
	{Code: "in_progress", Title: "The same request is still running.", Status: 409,
		Advice: "Try again with the same key after the seconds in Retry-After."},
	{Code: "reply_not_kept", Title: "The answer to this request was not kept.", Status: 409,
		Advice: "It held a secret. Ask again under a new key."},
	{Code: "refused", Title: "This is not possible now.", Status: 409,
		Advice: "It may be possible when something has changed."},
	{Code: "stale", Title: "This was changed in the meantime.", Status: 412,
		Advice: "Read it again and repeat your change with its new version in If-Match."},
	{Code: "too_large", Title: "This is too large.", Status: 413,
		Advice: "detail names the bound. Send less at a time."},
	{Code: "unsupported_type", Title: "This content type is not taken here.", Status: 415,
		Advice: "Send Content-Type: application/json, uncompressed and in UTF-8."},
	{Code: "invalid_input", Title: "The input is not valid.", Status: 422,
		Advice: "errors lists each finding with a pointer to it."},
	{Code: "idempotency_key_reused", Title: "This Idempotency-Key was used for something else.",
		Status: 422,
		Advice: "A key belongs to one request. Send a fresh key with a new request."},
	{Code: CodeUpgrade, Title: "This address speaks WebSocket.", Status: 426,
		Advice: "Open it as a WebSocket: new WebSocket(…) in a page, or a tool such as websocat."},
	{Code: "rate_limited", Title: "Too many requests.", Status: 429,
		Advice: "Wait the seconds in Retry-After. RateLimit says how much is left."},
	{Code: "internal", Title: "Something went wrong on our side.", Status: 500,
		Advice: "Tell the app's developer the request's id. It is safe to try again with the " +
			"same Idempotency-Key."},
	{Code: "proxy_failed", Title: "Another server did not answer as it should.", Status: 502,
		Advice: "Try again later with the same Idempotency-Key."},
	{Code: "unavailable", Title: "The service is not available now.", Status: 503,
		Advice: "Nothing was done. Try again later with the same Idempotency-Key."},
	{Code: "unknown", Title: "It is not known whether this was done.", Status: 503,
		Advice: "Try again with the same Idempotency-Key: the answer tells, and it is not done " +
			"twice."},
	{Code: "timeout", Title: "This took too long.", Status: 504,
		Advice: "Nothing was done. Try again with the same Idempotency-Key, or ask for less."},
}

// Words knows every code that an app can answer with. It is immutable.
type Words struct {
	words map[string]Word
	order []string
}

// NewWords returns the house's codes with those of the app: its refusals and its
// checks. A nil spec has none.
func NewWords(sp *spec.Spec) *Words {
	w := &Words{words: map[string]Word{}}
	if sp != nil {
		for _, c := range sp.Collections {
			for _, check := range c.Checks {
				w.add(Word{Code: check.Name, Title: plainTitle(check.Doc)})
			}
		}
		for _, e := range sp.Errors {
			w.add(Word{Code: e.Code, Title: e.Say, Status: e.Status, Advice: e.Doc})
		}
	}
	for _, h := range house {
		h.House = true
		if mine, ok := w.words[h.Code]; ok {
			// The app may say it in its own words, but it means the same.
			mine.House, mine.Status, mine.Advice = true, h.Status, h.Advice
			h = mine
		}
		w.add(h)
	}
	return w
}

func (w *Words) add(word Word) {
	if word.Title == "" {
		word.Title = "This is not possible now."
	}
	if _, ok := w.words[word.Code]; !ok {
		w.order = append(w.order, word.Code)
	}
	w.words[word.Code] = word
}

// plainTitle keeps a check's comment only if it can stand as a sentence.
func plainTitle(doc string) string {
	if len(doc) > 120 {
		return ""
	}
	return doc
}

// Find returns what is known of the code.
func (w *Words) Find(code string) (Word, bool) {
	word, ok := w.words[code]
	return word, ok
}

// All returns the words in the order of the app file, then the house's.
func (w *Words) All() []Word {
	out := make([]Word, 0, len(w.order))
	for _, code := range w.order {
		out = append(out, w.words[code])
	}
	slices.SortStableFunc(out, func(a, b Word) int {
		switch {
		case a.House == b.House:
			return 0
		case b.House:
			return -1
		default:
			return 1
		}
	})
	return out
}

// status is the HTTP status of a fault: its code's own where one is known, so that
// an app may refuse with one of our codes, else its kind's.
func (w *Words) status(f *fault.Fault) int {
	if word, ok := w.words[f.CodeOr()]; ok && word.Status >= 400 && word.Status <= 599 {
		return word.Status
	}
	return Status(f.Kind)
}

// title is the sentence of the fault's code.
func (w *Words) title(f *fault.Fault) string {
	if word, ok := w.words[f.CodeOr()]; ok {
		return word.Title
	}
	if f.Message != "" {
		return f.Message
	}
	return http.StatusText(Status(f.Kind))
}
