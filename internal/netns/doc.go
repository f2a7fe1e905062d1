// Package netns holds tests between network namespaces: real addresses that really change. They need Linux, root and
// iproute2, and make and remove namespaces of their own.
package netns
