package metrics

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// TextType is the media type of what [WriteText] writes.
const TextType = "text/plain; version=0.0.4; charset=utf-8"

// WriteText writes families in the text format of Prometheus. No two of them may have the same
// name.
func WriteText(w io.Writer, all []Family) error {
	t := text{bufio.NewWriter(w)}
	for i := range all {
		f := &all[i]
		t.words("# HELP ", f.Name, " ", escapeHelp(f.Help), "\n# TYPE ", f.Name, " ", f.Kind.String(), "\n")
		for j := range f.Samples {
			s := &f.Samples[j]
			if s.Histogram != nil {
				t.histogram(f.Name, s.Labels, s.Histogram)
			} else {
				t.sample(f.Name, s.Labels, "", number(s.Value))
			}
		}
	}
	return t.Flush()
}

// A text is a page in the text format. Its writer keeps the first error.
type text struct{ *bufio.Writer }

func (t text) words(words ...string) {
	for _, s := range words {
		t.WriteString(s)
	}
}

// sample writes a line. le, if not empty, is the value of the label that histograms have.
func (t text) sample(name string, labels []Label, le, value string) {
	t.WriteString(name)
	sep := "{"
	for _, l := range labels {
		t.words(sep, l.Name, `="`, escapeValue(l.Value), `"`)
		sep = ","
	}
	if le != "" {
		t.words(sep, `le="`, le, `"`)
		sep = ","
	}
	if sep == "," {
		t.WriteByte('}')
	}
	t.words(" ", value, "\n")
}

// histogram writes the lines of a histogram. Each bucket includes the values of the ones before it.
func (t text) histogram(name string, labels []Label, h *Histogram) {
	n := uint64(0)
	for i, c := range h.Counts {
		n += c
		le := "+Inf"
		if i < len(h.Bounds) {
			le = number(h.Bounds[i])
		}
		t.sample(name+"_bucket", labels, le, strconv.FormatUint(n, 10))
	}
	t.sample(name+"_sum", labels, "", number(h.Sum))
	t.sample(name+"_count", labels, "", strconv.FormatUint(n, 10))
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func escapeHelp(s string) string { return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(s) }

func escapeValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}
