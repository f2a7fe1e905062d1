package h3http_test

import "testing"

// TestExampleSimulation runs what the example shows.
func TestExampleSimulation(t *testing.T) { overSatellite(t) }
