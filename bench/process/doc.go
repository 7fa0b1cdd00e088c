// Package process starts the real processes that a bench is about: children
// that end with it, and servers on loopback that say where they listen.
package process
