// Package ports finds free ones for servers that have to be told theirs: those of
// tests and of benchmarks.
package ports

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// Ports are looked for where no system takes those that it gives out by itself,
// which begin at 32768 (Linux) and 49152 (others): a port of that kind may be
// another connection's by the time that a server opens it. Those 10,000 above,
// which the nodes of a Redis Cluster use among themselves, are free of both.
const (
	lowest = 10_000
	count  = 10_000
)

var tried atomic.Uint32

func init() { tried.Store(rand.Uint32N(count)) } // apart from other processes that look at the same time

// Free is a port on loopback that nobody listens on, and none that this process
// was given before.
func Free() (string, error) {
	for range count {
		port := strconv.Itoa(int(lowest + tried.Add(1)%count))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return "", err
		}
		return port, nil
	}
	return "", errors.New("no port on loopback is free between " + strconv.Itoa(lowest) + " and " + strconv.Itoa(lowest+count-1))
}
