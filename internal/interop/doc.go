// Package interop holds tests alone: this module talks to implementations that
// nobody here wrote, over sockets of this machine. What Go alone can run is here;
// peers that need more than that are under .ci/interop.
package interop
