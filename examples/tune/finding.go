package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A verdict says whether a setting should change.
type verdict string

const (
	good    verdict = "good"
	note    verdict = "note"    // worth knowing; the right value depends on the use
	change  verdict = "change"  // should change
	unknown verdict = "unknown" // cannot be read here
)

// A finding is the result of one check.
type finding struct {
	Name    string  `json:"name"`
	Value   string  `json:"value"`
	Verdict verdict `json:"verdict"`
	Why     string  `json:"why"`

	// Command makes the change, or shows more. Effect is what to expect of it.
	Command string `json:"command,omitempty"`
	Effect  string `json:"effect,omitempty"`

	Source string `json:"source"` // where the advice comes from

	// Settings are the changes that apply makes by sysctl.
	Settings []setting `json:"settings,omitempty"`
}

// A setting is a key of sysctl and its value.
type setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// advise sets the verdict to change, with settings of sysctl.
func (f *finding) advise(effect string, settings ...setting) {
	f.Verdict, f.Effect, f.Settings = change, effect, settings
	var words []string
	for _, s := range settings {
		words = append(words, fmt.Sprintf("%s=%q", s.Key, s.Value))
	}
	f.Command = "sysctl -w " + strings.ReplaceAll(strings.Join(words, " "), `"`, quoteIfMany(settings))
}

// quoteIfMany returns a quotation mark if the shell would split a value.
func quoteIfMany(settings []setting) string {
	for _, s := range settings {
		if strings.Contains(s.Value, " ") {
			return `"`
		}
	}
	return ""
}

// findings makes all checks, and returns what they found.
func findings(m *machine) (all []finding) {
	for _, check := range []func(*machine) finding{
		readBuffer, writeBuffer, udpMemory,
		sendOffload, receiveOffload,
		backlog, softirqBudget, receiveQueues, flowSteering,
		receiveErrors, socketDrops,
		connectionTracking, openFiles,
		interfaceMTU, fragments, pathMTU,
		governor, busyPolling, aes,
	} {
		all = append(all, check(m))
	}
	return all
}

// A report is the output of check.
type report struct {
	Interface string    `json:"interface"`
	Rate      float64   `json:"rate_mbit_s"`
	Pause     string    `json:"pause"`
	Findings  []finding `json:"findings"`
}

func (r *report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r *report) text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Interface %s, at %g Mbit/s, with pauses of %s.\n", orNone(r.Interface), r.Rate, r.Pause)
	count := make(map[verdict]int)
	for _, f := range r.Findings {
		count[f.Verdict]++
		fmt.Fprintf(&b, "\n%-8s%s: %s\n", f.Verdict, f.Name, f.Value)
		for _, part := range []struct{ label, text string }{
			{"", f.Why}, {"do: ", f.Command}, {"effect: ", f.Effect}, {"source: ", f.Source},
		} {
			if part.text != "" {
				writeWrapped(&b, part.label, part.text)
			}
		}
	}
	fmt.Fprintf(&b, "\n%d to change, %d to note, %d good, %d unknown.\n", count[change], count[note], count[good], count[unknown])
	_, err := io.WriteString(w, b.String())
	return err
}

// writeWrapped writes a text in lines of at most 100 columns. Only a command stays on one line, for
// copying.
func writeWrapped(b *strings.Builder, label, text string) {
	const indent = "        "
	line := indent + label
	if label == "do: " {
		b.WriteString(line + text + "\n")
		return
	}
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > 100:
			b.WriteString(line + "\n")
			line = indent + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
}

func orNone(name string) string {
	if name == "" {
		return "(none)"
	}
	return name
}
