// Package soak holds only tests. TestSoak sends traffic of all kinds through a bad network between
// real sockets, for as long as LAZO_SOAK says. TestEdge has clients of all kinds, hostile ones
// among them, in front of an edge with backends, for as long as LAZO_SOAK_EDGE says, and beside
// them clients over TCP, whose times are the reference. At the end nothing of it may be left.
package soak
