package h3

import (
	"strings"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/qpack"
	"github.com/lazoquic/lazo/internal/require"
)

// fieldList makes fields of names and values.
func fieldList(nameValues ...string) (fields []Field) {
	for i := 0; i < len(nameValues); i += 2 {
		fields = append(fields, Field{Name: nameValues[i], Value: nameValues[i+1]})
	}
	return fields
}

// TestValidRequests are requests that must not be refused. Malformed ones are in
// TestErrorCodes.
func TestValidRequests(t *testing.T) {
	for name, c := range map[string]struct {
		fields []string
		want   message
	}{
		"GET":                {get, message{contentLength: -1}},
		"HEAD":               {append([]string{":method", "HEAD"}, get[2:]...), message{contentLength: -1, head: true}},
		"any order":          {[]string{":path", "/", ":authority", "a", ":scheme", "https", ":method", "GET"}, message{contentLength: -1}},
		"host alone":         {[]string{":method", "GET", ":scheme", "https", ":path", "/", "host", "a"}, message{contentLength: -1}},
		"host as well":       {with(get, "host", "lazo.test", "host", "lazo.test"), message{contentLength: -1}},
		"host in capitals":   {with(get, "host", "Lazo.TEST"), message{contentLength: -1}},
		"host and port":      {with(get, "host", "lazo.test:443"), message{contentLength: -1}},
		"host and colon":     {with(get, "host", "lazo.test:"), message{contentLength: -1}},
		"authority and port": {[]string{":method", "GET", ":scheme", "https", ":authority", "A:443", ":path", "/", "host", "a"}, message{contentLength: -1}},
		"http and port":      {[]string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "host", "A:80"}, message{contentLength: -1}},
		"address and port":   {[]string{":method", "GET", ":scheme", "https", ":authority", "[::A]:443", ":path", "/", "host", "[::a]"}, message{contentLength: -1}},
		"any authority": {[]string{":method", "GET", ":scheme", "coap", ":authority", "u:@!$&'()*+,;=-._~%20[::1]:5", ":path", "/"},
			message{contentLength: -1}},
		"OPTIONS *":       {[]string{":method", "OPTIONS", ":scheme", "https", ":authority", "a", ":path", "*"}, message{contentLength: -1}},
		"another scheme":  {[]string{":method", "GET", ":scheme", "coap+tcp", ":path", ""}, message{contentLength: -1}},
		"content-length":  {with(post, "content-length", "0", "content-length", "0"), message{contentLength: 0}},
		"te: trailers":    {with(get, "te", "Trailers"), message{contentLength: -1}},
		"any value":       {with(get, "x", "!\t \x80\xff~", "y", ""), message{contentLength: -1}},
		"token name":      {with(get, "!#$%&'*+-.^_`|~09az", "1"), message{contentLength: -1}},
		"CONNECT":         {[]string{":method", "CONNECT", ":authority", "a:1"}, message{contentLength: -1, connect: true}},
		"extended method": {append([]string{":method", "PROPFIND"}, get[2:]...), message{contentLength: -1}},
		"extended CONNECT": {[]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "/"},
			message{contentLength: -1, connect: true, protocol: true}},
		"priority": {with(get, "priority", "u=1", "priority", "i"),
			message{contentLength: -1, hasPriority: true, priority: conn.Priority{Urgency: -2, Incremental: true}}},
		"a priority that is none": {with(get, "priority", "u=1", "priority", "??"), message{contentLength: -1}},
	} {
		m, err := checkFields(sectionRequest, fieldList(c.fields...))
		require.Nil(t, err, name)
		require.Equal(t, c.want, m, name)
	}
}

// TestProtocols: :protocol is an upgrade token (RFC 8441, Section 4).
func TestProtocols(t *testing.T) {
	for name, valid := range map[string]bool{
		"websocket": true, "connect-udp": true, "HTTP/2.0": true,
		"": false, "/": false, "a/": false, "/b": false, "a/b/c": false, "a b": false, "a,b": false, "a\xff": false,
	} {
		_, err := checkFields(sectionRequest, fieldList(":method", "CONNECT", ":protocol", name, ":scheme", "https", ":authority", "a", ":path", "/"))
		require.Equal(t, valid, err == nil, name)
	}
}

func TestValidResponses(t *testing.T) {
	for _, status := range []string{"100", "103", "199", "200", "204", "418", "599", "999"} {
		m, err := checkFields(sectionResponse, fieldList(":status", status, "x", "1"))
		require.Nil(t, err)
		require.Equal(t, status[0] == '1', m.interim())
	}
}

// RFC 9218, Section 4 [2].
func TestPriorityField(t *testing.T) {
	for s, want := range map[string]conn.Priority{
		"":                   {},
		"u=3":                {},
		"u=0":                {Urgency: -3},
		"u=7, i":             {Urgency: 4, Incremental: true},
		"u=5,i=?1":           {Urgency: 2, Incremental: true},
		"i=?0":               {},
		"i, i=?0":            {},
		"u=1, u=2":           {Urgency: -1},
		"i;a=1;b, u=2":       {Urgency: -1, Incremental: true},
		"u=8":                {}, // out of range, and so ignored
		"u=1, u=8":           {}, // the last counts
		"u=1, u=x":           {},
		"i, i=1":             {},
		"u=-0":               {Urgency: -3},
		"u=007":              {Urgency: 4},
		"u=0.0":              {},
		"u=(1)":              {},
		"u=-1":               {},
		"u=1.0":              {},
		"u=?1":               {},
		"i=1":                {},
		"  u=2  ":            {Urgency: -1},
		"u=2\t,\ti":          {Urgency: -1, Incremental: true},
		`x="a, u=0\"", u=2`:  {Urgency: -1},
		"x=:YSwgdT0w:, u=2":  {Urgency: -1},
		"x=(1 2;p 3), u=2":   {Urgency: -1},
		"x=( ), u=2":         {Urgency: -1},
		"*x=tok/en:1*, u=2":  {Urgency: -1},
		"a_b-c.d*e=1.5, u=2": {Urgency: -1},
		"x=-999999999999999": {},
		"x=123456789012.123": {},
		"x=:YQ:, i":          {Incremental: true}, // without padding
		"x=::, i":            {Incremental: true},
		"x=@-1, i":           {Incremental: true},
		`x=%"f%c3%bc", i`:    {Incremental: true},
		`x=%"", i`:           {Incremental: true},
		`x=("a" b;c  d ), i`: {Incremental: true},
	} {
		var p conn.Priority
		require.True(t, parsePriority(&p, s), "%q", s)
		require.Equal(t, want, p, "%q", s)
	}
	before := conn.Priority{Urgency: 1}
	for _, s := range []string{",", "u=1,", "u=", "u==1", "U=1", "=1", "u=1 i", "u=1;;a", "u=1;A", `x="a`, `x="a\`, "x=:a", "x=(1",
		"x=((1))", "x=(1;A)", "i=?", "u=1, \x00", "1=2", "u;a=", string(make([]byte, 257)),
		"u=-", "u=--1", "u=1.", "u=.1", "u=1.2345", "u=1.2.3", "u=+1", "x=1234567890123.1", "x=1234567890123456",
		"x=12345678901234567", "x=?2", "x=?", "x=?a", "x=:!:", "x=:Y:", "x=:YQ=:", "x=:YQ===:", "x=:Y=Q:", "x=:====:",
		"x=:YWJj=:", "x=:Y Q:", "x=@", "x=@1.5", "x=@a", "x=^", "x=a^b\"", "x=a{", `x="\a"`, "x=\"\x7f\"", "x=\"\t\"",
		`x=%a`, `x=%"a`, `x=%"%"`, `x=%"%C3%BC"`, `x=%"%ff"`, `x=%"%c"`, "x=%\"\x1f\"", `x=(1"a")`, "x=(1,2)", "x=(1\t2)",
		"x=(-)", "x=(1;a=-)", "x=1;a=(1)", "x=1;a=?2", "x=1;a=:!:", "x=1;-a", "x;a=^", "u=1;a=1 2"} {
		p := before
		require.False(t, parsePriority(&p, s), "%q", s)
		require.Equal(t, before, p)
	}
	for u := int8(-3); u <= 4; u++ {
		for _, i := range []bool{false, true} {
			want := conn.Priority{Urgency: u, Incremental: i}
			var p conn.Priority
			require.True(t, parsePriority(&p, string(appendPriority(nil, want))))
			require.Equal(t, want, p)
		}
	}
}

func TestFieldsDoNotAllocate(t *testing.T) {
	fields := fieldList(with(get, "priority", "u=1, i", "content-length", "0", "accept", "*/*")...)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := checkFields(sectionRequest, fields); err != nil {
			t.Fatal(err)
		}
	}))
}

// FuzzFields gives an encoded section to everything in a server that handles sections.
func FuzzFields(f *testing.F) {
	f.Add(section(get...))
	f.Add(section(with(post, "content-length", "3", "te", "trailers")...))
	f.Add(section(":method", "CONNECT", ":authority", "a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		decoded, err := qpack.NewDecoder(0, 0, 4096).Decode(0, b)
		if err != nil {
			return
		}
		var fields []Field
		for _, d := range decoded {
			fields = append(fields, Field(d))
		}
		if fieldsSize(fields) > 4096 {
			t.Fatal("above the limit")
		}
		for kind := sectionRequest; kind <= sectionTrailer; kind++ {
			m, err := checkFields(kind, fields)
			if err != nil {
				continue
			}
			for _, f := range fields {
				for i := range len(f.Name + f.Value) {
					if c := (f.Name + f.Value)[i]; c < ' ' && c != '\t' || c == 0x7f {
						t.Fatalf("%q: %q got through", f.Name, f.Value)
					}
				}
				if strings.Trim(f.Value, " \t") != f.Value {
					t.Fatalf("%q: %q got through", f.Name, f.Value)
				}
			}
			if kind == sectionResponse && (m.status < 100 || m.status > 999) {
				t.Fatalf("status %d", m.status)
			}
		}
	})
}
