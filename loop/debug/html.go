package debug

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
)

var (
	//go:embed list.html
	listHTML string
	//go:embed conn.html
	connHTML string
	//go:embed style.css
	style string
	//go:embed plot.js
	script string
)

// policy lets a browser run only the script of the pages, and load only their JSON.
func policy() string {
	return fmt.Sprintf("default-src 'none'; connect-src 'self'; img-src data:; frame-ancestors 'none'; script-src '%s'; style-src '%s'",
		hashOf(script), hashOf(style))
}

// hashOf returns the name of an inline script or style in a content security policy.
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// parse returns the template of a page. It escapes what the page shows.
func parse(text string) *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"style":  func() template.CSS { return template.CSS(style) },
		"script": func() template.JS { return template.JS(script) },
		"ms":     func(s float64) string { return fmt.Sprintf("%.1f ms", 1000*s) },
		"s":      func(s float64) string { return fmt.Sprintf("%.1f s", s) },
		"bytes":  size,
	}).Parse(text))
}

// size returns a number of bytes for people.
func size(v any) string {
	var n float64
	switch v := v.(type) {
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	}
	for _, unit := range []string{"B", "kB", "MB"} {
		if n < 1000 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.3g GB", n)
}

func writePage(w http.ResponseWriter, text string, data any) {
	var b bytes.Buffer
	if err := parse(text).Execute(&b, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}

func writeJSON(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(data)
}
