// Package edge holds tests of the program examples/edge with backends and clients of others.
package edge
