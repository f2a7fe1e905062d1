package qpack

// A history remembers fields that were sent recently, by their hashes.
type history struct {
	hashes [64]uint32
	next   int
}

// has reports whether the field was sent recently, and remembers it.
func (h *history) has(f Field) bool {
	sum := hash(f)
	for _, s := range h.hashes {
		if s == sum {
			return true
		}
	}
	h.hashes[h.next%len(h.hashes)] = sum
	h.next++
	return false
}

// hash is FNV-1a over the name, a separator and the value. It is never 0.
func hash(f Field) uint32 {
	h := uint32(2166136261)
	for i := range len(f.Name) {
		h = (h ^ uint32(f.Name[i])) * 16777619
	}
	h = (h ^ 0xff) * 16777619
	for i := range len(f.Value) {
		h = (h ^ uint32(f.Value[i])) * 16777619
	}
	return h | 1
}

// minCookie is how long a cookie must be to go into the table. Short ones are too
// easy to guess (RFC 9204, Section 7.1).
const minCookie = 20

// worthInserting reports whether a field is likely to come again and may be compressed. Fields of a
// kind that rarely changes go into the table at once, others when they come for the second time.
func (e *Encoder) worthInserting(f Field) bool {
	if uint64(f.Size()) > e.table.capacity/2 {
		return false
	}
	switch f.Name {
	case ":authority", "user-agent", "accept", "accept-encoding", "accept-language", "server":
		return true
	case ":path", "age", "authorization", "content-length", "content-range", "date", "etag", "expires",
		"if-modified-since", "if-none-match", "if-range", "last-modified", "location",
		"proxy-authorization", "range", "set-cookie":
		return false // they are particular to one message, or secret
	case "cookie":
		if len(f.Value) < minCookie {
			return false
		}
	}
	return e.seen.has(f)
}
