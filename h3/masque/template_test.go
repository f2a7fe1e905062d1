package masque

import (
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// RFC 9298, Section 2 [1]; RFC 9298, Section 3 [3, 5].
func TestTemplates(t *testing.T) {
	for _, test := range []struct{ template, expanded string }{
		{WellKnown, "/.well-known/masque/udp/2001%3Adb8%3A%3A42/443/"},
		{"/{target_host}/{target_port}", "/2001%3Adb8%3A%3A42/443"},
		{"/{target_port}/{target_host}", "/443/2001%3Adb8%3A%3A42"},
		{"/{target_port}.{target_host}", "/443.2001%3Adb8%3A%3A42"},
		{"/{target_host},{target_port}/x", "/2001%3Adb8%3A%3A42,443/x"},
		{"/{target_host,target_port}", "/2001%3Adb8%3A%3A42,443"},
		{"/m?h={target_host}&p={target_port}", "/m?h=2001%3Adb8%3A%3A42&p=443"},
		{"/m{?target_port,target_host}", "/m?target_port=443&target_host=2001%3Adb8%3A%3A42"},
		{"/m{?user,target_host,x,target_port,y}", "/m?target_host=2001%3Adb8%3A%3A42&target_port=443"},
		{"/m?x=1{&target_host,target_port}", "/m?x=1&target_host=2001%3Adb8%3A%3A42&target_port=443"},
		{"/{user}/{target_host}/{target_port}{?q}", "//2001%3Adb8%3A%3A42/443"},
	} {
		tpl, err := parseTemplate(test.template)
		require.NoError(t, err, test.template)
		require.Equal(t, test.expanded, tpl.expand("2001:db8::42", "443"))
		host, port, ok := tpl.match(test.expanded)
		require.True(t, ok, test.template)
		require.Equal(t, []string{"2001:db8::42", "443"}, []string{host, port})
	}
}

// RFC 9298, Section 2 [3, 5, 6, 7].
func TestInvalidTemplates(t *testing.T) {
	for _, s := range []string{
		"", "x", "/", "/{target_host}/", "/{target_port}/", "/{target_host}/{target_host}/", "/{target_host}{target_port}{target_port}",
		"/{target_host}/{target_port", "/{}{target_host}/{target_port}", "/{target_host}}/{target_port}",
		"/{+target_host}/{target_port}", "/{#target_host}/{target_port}", "/{.target_host}/{target_port}",
		"/{/target_host}/{target_port}", "/{;target_host}/{target_port}", "/{=target_host}/{target_port}",
		"/{target_host*}/{target_port}", "/{target_host:3}/{target_port}", "/{target_host,}/{target_port}",
		"/ü/{target_host}/{target_port}", "/ /{target_host}/{target_port}", "/{target_host}/{target_port}#x",
	} {
		_, err := parseTemplate(s)
		require.Error(t, err, s)
	}
}

func TestTemplateDoesNotMatch(t *testing.T) {
	tpl, err := parseTemplate("/m/{target_host}/{target_port}/")
	require.NoError(t, err)
	for _, s := range []string{
		"", "/m/", "/m//", "/m/a", "/m/a/1", "/n/a/1/", "/m/a/b/1/", "/m/%zz/1/", "/m/a?b/1/", "/m/a&b/1/", "/m/1/",
	} {
		_, _, ok := tpl.match(s)
		require.False(t, ok, s)
	}
	// Clients may leave colons as they are.
	host, port, ok := tpl.match("/m/::1/2/")
	require.True(t, ok)
	require.Equal(t, []string{"::1", "2"}, []string{host, port})
}

func FuzzTemplate(f *testing.F) {
	f.Add(WellKnown, "a.test", "443")
	f.Add("/m{?target_host,target_port}", "::1", "1")
	f.Fuzz(func(t *testing.T, s, host, port string) {
		tpl, err := parseTemplate(s)
		if err != nil || !checkHost(host) {
			return
		}
		if _, ok := parsePort(port); !ok {
			return
		}
		expanded := tpl.expand(host, port)
		for i := range len(expanded) {
			if invalidInTemplate(rune(expanded[i])) {
				t.Fatalf("%q has %q", expanded, expanded[i])
			}
		}
		tpl.match(s)
	})
}
