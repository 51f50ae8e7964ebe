package transport

import (
	"net/http"
	"strconv"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// AppendItem appends an item as JSON: its record, and what was expanded beside it
// under "expand". What its caller may not see is left out.
func AppendItem(dst []byte, item *engine.Item) []byte {
	if item.Record.Zero() {
		return appendExpand(dst, item.Expand) // of an object in a list
	}
	if len(item.Expand) == 0 {
		return value.AppendRecord(dst, item.Record)
	}
	dst, some := value.AppendMembers(append(dst, '{'), item.Record)
	if some {
		dst = append(dst, ',')
	}
	return append(appendExpand(append(dst, `"expand":`...), item.Expand), '}')
}

// appendExpand appends what was expanded by the names of the relations. What there is
// none of, or none for this caller, is left out.
func appendExpand(dst []byte, all []engine.Expansion) []byte {
	dst = append(dst, '{')
	first := true
	for i := range all {
		x := &all[i]
		if !x.Many && len(x.Items) == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(value.AppendQuoted(dst, x.Name), ':')
		if x.Many {
			dst = appendItemList(dst, x.Items)
		} else {
			dst = AppendItem(dst, &x.Items[0])
		}
	}
	return append(dst, '}')
}

func appendItemList(dst []byte, items []engine.Item) []byte {
	dst = append(dst, '[')
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendItem(dst, &items[i])
	}
	return append(dst, ']')
}

// AppendList appends a page: its items, the cursor of the next page if there is one,
// and the total if it was asked for.
func AppendList(dst []byte, a *engine.Answer) []byte {
	dst = appendItemList(append(dst, `{"items":`...), a.Items)
	if a.Next != "" {
		dst = value.AppendQuoted(append(dst, `,"next":`...), a.Next)
	}
	if a.HasTotal {
		dst = strconv.AppendInt(append(dst, `,"total":`...), a.Total, 10)
	}
	return append(dst, '}')
}

// AppendReply appends what an Execute answers with. It appends nothing for an answer
// without a body.
func AppendReply(dst []byte, r *engine.Reply) []byte {
	switch {
	case r.Body == "null":
		return dst
	case r.Replayed || r.Body != "":
		return append(dst, r.Body...)
	case r.Verb == engine.Batch:
		return appendResponses(dst, r.Batch)
	case r.Verb == engine.Action:
		if r.Output.IsNull() {
			return dst
		}
		return value.AppendJSON(dst, r.Output)
	case r.Verb == engine.Delete:
		return dst
	default:
		return AppendItem(dst, &r.Item)
	}
}

func appendResponses(dst []byte, replies []engine.Reply) []byte {
	dst = append(dst, `{"responses":[`...)
	for i := range replies {
		r := &replies[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"status":`...), int64(ReplyStatus(r)), 10)
		mark := len(dst)
		dst = append(dst, `,"body":`...)
		n := len(dst)
		if dst = AppendReply(dst, r); len(dst) == n {
			dst = dst[:mark] // there is no body
		}
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}

// ReplyStatus returns the HTTP status of a reply: 201 for a create, 204 for an answer
// without a body, else 200.
func ReplyStatus(r *engine.Reply) int {
	switch {
	case r.Verb == engine.Create:
		return http.StatusCreated
	case r.Verb == engine.Delete:
		return http.StatusNoContent
	case r.Verb == engine.Action && r.Replayed && (r.Body == "" || r.Body == "null"):
		return http.StatusNoContent
	case r.Verb == engine.Action && !r.Replayed && r.Output.IsNull():
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

// Version returns the version of an item's record, 0 if it is not known.
func Version(item *engine.Item) int64 {
	if item.Version > 0 {
		return item.Version
	}
	if len(item.Record.Slots) <= spec.SlotVersion {
		return 0
	}
	return item.Record.Slots[spec.SlotVersion].Int()
}

// ID returns the id of an item's record, "" if it is not among what was asked for.
func ID(item *engine.Item) ident.Record {
	if len(item.Record.Slots) <= spec.SlotID {
		return ""
	}
	return ident.Record(item.Record.Slots[spec.SlotID].Text())
}
