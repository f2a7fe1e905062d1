// Package soak holds one test alone: traffic of all kinds through a bad network between real
// sockets, for as long as LAZO_SOAK says. In the end nothing must be left of it.
package soak
