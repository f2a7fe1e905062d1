// Package netns runs code in network namespaces of its own making, which need Linux and root. Its
// tests are about real addresses and real links: some that change, some that the relay of package
// netrelay makes bad.
package netns
