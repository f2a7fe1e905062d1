// Package tunnelhttp runs HTTP/3 and HTTP/2 between the two ends of a netrelay.Tunnel, over sockets
// of the kernel. So both protocols meet the same path.
package tunnelhttp
