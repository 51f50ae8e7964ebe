package rest

import "net/http"

// site hands the request to what serves the app's pages, and watches the status.
func (d *Door) site(x *exchange) {
	d.Site.ServeHTTP(watcher{x.w, x}, x.r)
	if !x.wrote {
		x.wrote, x.seen.Status = true, http.StatusOK
	}
}

// watcher notes the status that a handler answers with.
type watcher struct {
	http.ResponseWriter
	x *exchange
}

// WriteHeader notes the status and passes it on.
func (w watcher) WriteHeader(status int) {
	if !w.x.wrote {
		w.x.wrote, w.x.seen.Status = true, status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write passes bytes on.
func (w watcher) Write(p []byte) (int, error) {
	if !w.x.wrote {
		w.x.wrote, w.x.seen.Status = true, http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find the writer below.
func (w watcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }
