package h3http

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func TestParseAltSvc(t *testing.T) {
	const day = 24 * time.Hour
	for value, want := range map[string][]altService{
		"":                                   nil,
		"clear":                              nil,
		" clear ":                            nil,
		`h3=":443"`:                          {{"", "443", day}},
		`h3=":443"; ma=3600; persist=1`:      {{"", "443", time.Hour}},
		`h3-29=":443", h3=":50781"`:          {{"", "50781", day}},
		`h2="alt.example:80",h3="a.b:1"`:     {{"a.b", "1", day}},
		`h3="[2001:db8::1]:443" ;MA="60"`:    {{"2001:db8::1", "443", time.Minute}},
		`h3="\:4\43", , ,h3=":2";x="\"a,b;"`: {{"", "443", day}, {"", "2", day}},
		`h3=":443";ma=0`:                     {{"", "443", 0}},
		`h3=":443"; ma=4294967295`:           {{"", "443", maxMaxAge}},
		`h3=":443"; ma=99999999999999999999`: {{"", "443", maxMaxAge}},
	} {
		got, err := parseAltSvc(value)
		require.NoError(t, err, value)
		require.Equal(t, want, got, value)
	}
	for _, value := range []string{
		"h3", "h3=", "h3=:443", `h3="`, `h3=":443`, `h3=":443" x`, `h3=":0"`, `h3=":65536"`, `h3="443"`, `h3="a b:1"`,
		`h3=":1";`, `h3=":1";ma`, `h3=":1";ma=`, `h3=":1";ma=-1`, `h3=":1";ma="1`, `=":1"`, `h3=":1" clear`,
	} {
		_, err := parseAltSvc(value)
		require.ErrorIs(t, err, errAltSvc, value)
	}
}

func FuzzAltSvc(f *testing.F) {
	f.Add(`h3=":443"; ma=3600; persist=1, h2="alt.example:80"`)
	f.Add(`h3="[2001:db8::1]:4\43" ; x="\"a,b;"`)
	f.Fuzz(func(t *testing.T, value string) {
		services, err := parseAltSvc(value)
		if err != nil && services != nil {
			t.Fatal("an error and services")
		}
		for _, s := range services {
			if s.port == "" || s.maxAge < 0 || s.maxAge > maxMaxAge {
				t.Fatalf("%q: %+v", value, s)
			}
			// The remembered value can be parsed again.
			again, err := parseAltSvc(fmt.Sprintf("h3=%q", altAddr("origin:443", s)))
			if err != nil || len(again) != 1 || again[0].port != s.port {
				t.Fatalf("%q: %+v became %+v, %v", value, s, again, err)
			}
		}
	})
}

func TestAltAddr(t *testing.T) {
	require.Equal(t, "a.example:8443", altAddr("a.example:443", altService{port: "8443"}))
	require.Equal(t, "[::1]:8443", altAddr("[::1]:443", altService{port: "8443"}))
	require.Equal(t, "b.example:1", altAddr("a.example:443", altService{host: "B.example", port: "1"}))
	require.Equal(t, "[2001:db8::1]:1", altAddr("a.example:443", altService{host: "2001:db8::1", port: "1"}))
}

func TestAltCache(t *testing.T) {
	var c altCache
	now := time.Unix(1e9, 0)
	offer := func(age string, values ...string) http.Header {
		return http.Header{"Alt-Svc": values, "Age": {age}}
	}
	c.learn("a:443", offer("", `h3=":1"; ma=100`), now)
	require.Equal(t, now.Add(100*time.Second), c.lookup("a:443", now).expires)
	c.learn("a:443", offer("40", `h2=":1"`, `h3=":1"; ma=100`), now)
	require.Equal(t, now.Add(60*time.Second), c.lookup("a:443", now).expires)
	c.learn("old:443", offer("99999999999999999999", `h3=":1"; ma=100`), now)
	require.Nil(t, c.lookup("old:443", now), "a cache has kept the response for longer than anybody can say")

	c.note(target{"a:443", "a:1"}, false, now)
	c.note(target{"a:443", "a:1"}, false, now) // the same failure
	c.note(target{"a:443", "a:2"}, false, now) // no failure of this target
	o := c.lookup("a:443", now)
	require.Equal(t, now.Add(time.Minute), o.broken)
	for range 20 {
		c.note(target{"a:443", "a:1"}, false, o.broken)
	}
	require.Equal(t, 21, o.failures)
	c.learn("a:443", offer("", `h3=":1"; ma=100`), now)
	require.Equal(t, o, c.lookup("a:443", now), "a new offer does not mend it")
	c.note(target{"a:443", "a:1"}, true, now)
	require.Zero(t, o.failures)
	c.note(target{"a:443", "a:1"}, false, now)
	require.Equal(t, now.Add(time.Minute), o.broken)
	c.learn("a:443", offer("", `h3=":2"; ma=100`), now)
	require.True(t, c.lookup("a:443", now).broken.IsZero(), "another alternative may work")

	c.learn("a:443", offer("", "nonsense"), now)
	require.NotNil(t, c.lookup("a:443", now))
	c.learn("a:443", http.Header{}, now)
	require.NotNil(t, c.lookup("a:443", now))
	c.learn("a:443", offer("", `h2=":443"`), now)
	require.Nil(t, c.lookup("a:443", now))

	// The origin that would expire first makes room.
	for i := range maxAltOrigins + 10 {
		c.learn(fmt.Sprint(i, ":443"), offer("", fmt.Sprintf(`h3=":1"; ma=%d`, 1000+i)), now)
	}
	require.Len(t, c.origins, maxAltOrigins)
	require.Nil(t, c.lookup("9:443", now))
	require.NotNil(t, c.lookup("10:443", now))
	require.Nil(t, c.lookup("10:443", now.Add(time.Hour)))
}
