package metrics

// A Kind is the type of a [Family].
type Kind uint8

// The kinds of families.
const (
	Counter Kind = iota + 1
	Gauge
	Distribution // a histogram
)

// String returns the name of the kind in the format of Prometheus.
func (k Kind) String() string {
	switch k {
	case Counter:
		return "counter"
	case Gauge:
		return "gauge"
	case Distribution:
		return "histogram"
	}
	return "untyped"
}

// A Family has the samples of one name.
type Family struct {
	Name, Help string
	Kind       Kind
	Samples    []Sample
}

// A Sample is a value with its labels.
type Sample struct {
	Labels    []Label
	Value     float64    // of a Counter or Gauge
	Histogram *Histogram // of a Distribution
}

// A Label is the name and the value of a label.
type Label struct{ Name, Value string }

// A Histogram counts values by size. Counts[i] is the number of values up to Bounds[i] and above
// the bound before. The last of Counts is the number of values above all Bounds.
type Histogram struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// Count returns how many values there are.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// families collects families. Labels are given as names and values in turn.
type families []Family

func (f *families) add(name, help string, kind Kind, samples ...Sample) {
	*f = append(*f, Family{Name: name, Help: help, Kind: kind, Samples: samples})
}

// counter adds a counter with one sample.
func (f *families) counter(name, help string, n uint64) { f.add(name, help, Counter, count(n)) }

// gauge adds a gauge with one sample.
func (f *families) gauge(name, help string, n int64) { f.add(name, help, Gauge, level(n)) }

// histogram adds a distribution with one sample.
func (f *families) histogram(name, help string, h Histogram) {
	f.add(name, help, Distribution, Sample{Histogram: &h})
}

func count(n uint64, labels ...string) Sample {
	return Sample{Labels: labelsOf(labels), Value: float64(n)}
}

func level(n int64, labels ...string) Sample {
	return Sample{Labels: labelsOf(labels), Value: float64(n)}
}

func labelsOf(words []string) (labels []Label) {
	for i := 0; i < len(words); i += 2 {
		labels = append(labels, Label{words[i], words[i+1]})
	}
	return labels
}
