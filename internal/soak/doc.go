// Package soak holds only one test. It sends traffic of all kinds through a bad network between
// real sockets, for as long as LAZO_SOAK says. At the end nothing of it may be left.
package soak
