package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestEvents reads events as they come.
func TestEvents(t *testing.T) {
	srv := httptest.NewServer(newHandler(""))
	defer srv.Close()
	start := time.Now()
	resp, err := http.Get(srv.URL + "/events?n=3")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	var ids []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			ids = append(ids, id)
		}
	}
	require.Equal(t, []string{"0", "1", "2"}, ids)
	require.GreaterOrEqual(t, time.Since(start), 200*time.Millisecond)
	for _, query := range []string{"", "?n=x", "?n=-1"} {
		resp, err := http.Get(srv.URL + "/events" + query)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	}
}

func TestSum(t *testing.T) {
	srv := httptest.NewServer(newHandler(""))
	defer srv.Close()
	resp, err := http.Post(srv.URL+"/sum", "", strings.NewReader("abc"))
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n", string(b))
}
