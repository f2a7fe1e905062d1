// Package hostile holds only tests. A scripted peer sends what no honest peer sends, to the state
// machine in virtual time and to a server on a real socket. Each case says which error the peer
// must get, and how much memory, work and how many bytes in answer it may cost. The table of
// docs/security.md is made from the cases.
package hostile
