package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

// Set is part of [flag.Value].
func (h *headerFlag) Set(field string) error {
	name, value, ok := strings.Cut(field, ":")
	if !ok || name == "" {
		return fmt.Errorf("%q is not 'name: value'", field)
	}
	h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	return nil
}

// checkURL returns the URL of an argument, if a request can be made for it.
func (o *options) checkURL(arg string) (string, error) {
	s := arg
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", usage.Errorf("%q is no URL", arg)
	}
	switch {
	case u.Scheme != "https":
		return "", usage.Errorf("%q: HTTP/3 is for https, not %s", arg, u.Scheme)
	case u.Hostname() == "":
		return "", usage.Errorf("%q has no host", arg)
	}
	if _, err := http.NewRequest(o.method, s, nil); err != nil {
		return "", usage.Errorf("%v", err)
	}
	return s, nil
}

// checkData looks for the file of -d.
func (o *options) checkData() error {
	if o.data == "@-" && len(o.urls) > 1 {
		return usage.Errorf("-d @-: standard input can be sent to one URL only")
	}
	if name, isFile := strings.CutPrefix(o.data, "@"); isFile && name != "-" {
		return usage.File("d", name)
	}
	return nil
}

// request makes the request for url.
func (o *options) request(ctx context.Context, url string) (*http.Request, error) {
	method := o.method
	var body io.Reader
	length := int64(0)
	if o.hasData {
		if method == "" {
			method = http.MethodPost
		}
		var err error
		if body, length, err = openData(o.data); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if o.hasData {
		req.ContentLength = length
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "*/*")
	req.Header.Set("User-Agent", "h3client/lazo")
	for name, values := range o.header.Header {
		if name == "Host" {
			req.Host = values[len(values)-1]
			continue
		}
		req.Header[name] = values
	}
	return req, nil
}

// openData returns the content that data stands for, and its length, or -1.
func openData(data string) (io.Reader, int64, error) {
	name, isFile := strings.CutPrefix(data, "@")
	if !isFile {
		return strings.NewReader(data), int64(len(data)), nil
	}
	if name == "-" {
		return io.NopCloser(os.Stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, info.Size(), nil
}
