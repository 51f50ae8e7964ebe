package rest

import (
	"net/http"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport"
)

// Remote has another door answer a request, in the words of a protocol that HTTP carries.
// Who asks, and whether a page of another origin does, is found out as for any request
// here; so is what the answer's head says of it. The function returns the status that
// this door would have answered with.
func (d *Door) Remote(w http.ResponseWriter, r *http.Request, door string,
	answer func(*transport.Remote) (status int)) {
	x := d.begin(w, r)
	defer d.end(x)
	defer d.recover(x)
	m := &transport.Remote{Writer: w, Request: r, Words: d.Words()}
	if m.Call, m.Refused = x.call(); d.Dev && !homely(r.Host) {
		m.Refused = fault.New(fault.Denied, "In dev only localhost and IP addresses are answered to.")
	}
	m.Call.ID, m.Call.Seen, m.Call.Door = x.id, x.seen, door
	m.Told = func(reply *engine.Reply, err error) {
		if reply != nil {
			x.committed(reply, err)
		}
		x.common(w.Header())
		x.timing()
		x.wrote = true
	}
	x.seen.Status = answer(m)
	x.wrote = true
}
