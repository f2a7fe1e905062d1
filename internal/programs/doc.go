// Package programs holds only tests. They are whole programs as users write them, with the public
// packages, over sockets of this machine. They show that users can write what they need.
package programs
