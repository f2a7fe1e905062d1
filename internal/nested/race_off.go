//go:build !race

package nested

// race says whether this test runs with the race detector.
const race = false
