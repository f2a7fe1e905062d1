package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/lazoquic/lazo/h3/h3http"
)

// A fetcher fetches the URLs of a command line.
type fetcher struct {
	*options
	tr     *h3http.Transport
	stdout io.Writer
	screen *screen
}

// all fetches all URLs in their order, with up to -parallel at once. The error has one line for
// each that failed.
func (f *fetcher) all(ctx context.Context) error {
	errs := make([]error, len(f.urls)+1)
	slots := make(chan struct{}, f.parallel)
	var wg sync.WaitGroup
	for i := range f.urls {
		slots <- struct{}{}
		if ctx.Err() != nil {
			errs[len(f.urls)] = fmt.Errorf("%d URLs were not fetched: %w", len(f.urls)-i, context.Cause(ctx))
			break
		}
		wg.Go(func() {
			errs[i] = f.fetch(ctx, i)
			<-slots
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fetch sends a request for a URL and writes the body of the response to its output.
func (f *fetcher) fetch(ctx context.Context, i int) error {
	told := f.remarks(i)
	if f.verbose {
		ctx = withTrace(ctx, told)
	}
	req, err := f.request(ctx, f.urls[i])
	if err != nil {
		return err
	}
	resp, err := f.tr.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	if f.verbose {
		told.response(resp)
	}
	if err := f.save(resp.Body, resp.ContentLength, f.outputs[i]); err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, req.URL, err)
	}
	if f.verbose {
		told.trailer(resp)
		told.stats(resp)
	}
	return nil
}

// save writes a body of a length, or -1, to an output.
func (f *fetcher) save(body io.Reader, length int64, output string) (err error) {
	out := f.stdout
	if output != stdoutName {
		file, err := os.Create(output)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	}
	bar := f.screen.begin(length)
	defer bar.end()
	_, err = io.Copy(io.MultiWriter(out, bar), body)
	return err
}
