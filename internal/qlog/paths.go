package qlog

import (
	"net/netip"
	"time"
)

// With multipath, the events of each path have a tuple of the schema, which is named after the path
// ID. The path of the handshake has the default name, which is empty.

// OnPath says which path the events that follow are of, by its path ID.
func (w *Writer) OnPath(id uint32) { w.path = id }

// pathName appends the name of a path.
func (w *Writer) pathName(key string, id uint32) {
	w.key(key)
	w.b = append(w.b, '"')
	if id != 0 {
		w.b = appendUint(append(w.b, "path"...), uint64(id))
	}
	w.b = append(w.b, '"')
}

// PathAssigned writes the addresses of a path, which has opened or moved.
func (w *Writer) PathAssigned(now time.Time, id uint32, local, remote netip.AddrPort) {
	if w.unnamed(tupleAssigned) {
		return
	}
	w.begin(now, tupleAssigned)
	w.pathName("tuple_id", id)
	w.endpoint("tuple_remote", remote)
	w.endpoint("tuple_local", local)
	w.finish()
}

// PathEnded writes that a path was abandoned: the schema tells that by a tuple without addresses.
func (w *Writer) PathEnded(now time.Time, id uint32) {
	delete(w.figures, id)
	if w.unnamed(tupleAssigned) {
		return
	}
	w.begin(now, tupleAssigned)
	w.pathName("tuple_id", id)
	w.finish()
}
