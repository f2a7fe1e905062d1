package conn_test

import (
	"flag"
	"testing"

	"github.com/lazoquic/lazo/internal/script"
)

// maxFuzzedStory bounds an input, and so how long a story takes: each choice takes 2 bytes.
const maxFuzzedStory = 1200

// FuzzStories plays stories whose choices are the bytes of the input, so that the fuzzer keeps
// those that reach new branches, and changes one choice at a time. Under go test without -fuzz, a
// story that fails is shrunk, too.
func FuzzStories(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(script.Bytes(seed, maxFuzzedStory/2))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzzedStory {
			return
		}
		d := script.FromBytes(b)
		s := drawStory(uint64(d.N(1<<16)), d)
		flaw := s.check(t)
		switch {
		case flaw == nil:
		case fuzzing():
			t.Errorf("%v\n\n%s", flaw, script.Test(s, "conn_test"))
		default:
			s.report(t, flaw, "as go test says")
		}
	})
}

// fuzzing reports whether the fuzzer runs, which has its own time limits.
func fuzzing() bool {
	on := flag.Lookup("test.fuzz")
	worker := flag.Lookup("test.fuzzworker")
	return on.Value.String() != "" || worker.Value.String() == "true"
}
