package h3http

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// A dateText keeps the text of the last Date field for as long as it is true, a second. Any
// goroutine may use it.
type dateText struct{ last atomic.Pointer[datedText] }

type datedText struct {
	second int64 // since 1970
	text   string
}

// at returns the text for now.
func (d *dateText) at(now time.Time) string {
	second := now.Unix()
	if last := d.last.Load(); last != nil && last.second == second {
		return last.text
	}
	text := now.UTC().Format(http.TimeFormat)
	d.last.Store(&datedText{second, text})
	return text
}

// statusCode returns code in decimal. It allocates nothing for common codes.
func statusCode(code int) string {
	switch code {
	case 200:
		return "200"
	case 204:
		return "204"
	case 206:
		return "206"
	case 301:
		return "301"
	case 302:
		return "302"
	case 304:
		return "304"
	case 400:
		return "400"
	case 403:
		return "403"
	case 404:
		return "404"
	case 500:
		return "500"
	case 502:
		return "502"
	case 503:
		return "503"
	}
	return strconv.Itoa(code)
}

// statusLine returns the Status of a response, such as "200 OK". It allocates nothing for common
// codes.
func statusLine(code int) string {
	switch code {
	case 200:
		return "200 OK"
	case 204:
		return "204 No Content"
	case 206:
		return "206 Partial Content"
	case 304:
		return "304 Not Modified"
	case 404:
		return "404 Not Found"
	}
	return strconv.Itoa(code) + " " + http.StatusText(code)
}
