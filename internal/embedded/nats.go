package embedded

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// NATSConfig says how the embedded NATS server runs.
type NATSConfig struct {
	// Dir is the data folder. One process at a time may use it.
	Dir string
	// Listen is a loopback address others can connect to, with port 0 for any
	// free one. Empty, the default, means this process only.
	Listen string
	// Password, if set, is asked of everybody who connects, as user "drover".
	Password string
	// MaxStore is the most bytes JetStream may take on disk. Default: three
	// quarters of what is free.
	MaxStore int64
}

// user is whom the password of an embedded server belongs to.
const user = "drover"

// NATS is a server with JetStream in this process. Every write is on disk
// before it is acknowledged.
type NATS struct {
	server   *server.Server
	room     int64
	lock     *Lock
	password string
	close    func() error
}

// StartNATS starts the server and returns once it takes connections. It fails
// if the folder is in use by another process or the address is taken.
func StartNATS(cfg NATSConfig) (*NATS, error) {
	opts, err := natsOptions(cfg)
	if err != nil {
		return nil, err
	}
	lock, err := LockFolder(cfg.Dir)
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%s is %w: wait for it, stop it, or choose another folder with --data", cfg.Dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("taking the data folder %s: %w", cfg.Dir, err)
	}
	s, room, err := withRoom(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded NATS server in %s: %w", cfg.Dir, err), lock.Release())
	}
	n := &NATS{server: s, room: room, lock: lock, password: cfg.Password}
	n.close = sync.OnceValue(n.shutdown)
	return n, nil
}

func natsOptions(cfg NATSConfig) (*server.Options, error) {
	opts := &server.Options{
		ServerName:        "drover-embedded",
		DontListen:        cfg.Listen == "",
		JetStream:         true,
		StoreDir:          filepath.Join(cfg.Dir, "nats"),
		SyncAlways:        true,
		JetStreamMaxStore: cfg.MaxStore,
		NoSigs:            true,
	}
	if cfg.Password != "" {
		opts.Username, opts.Password = user, cfg.Password
	}
	if cfg.Listen == "" {
		return opts, nil
	}
	port, err := freePort(cfg.Listen)
	if err != nil {
		return nil, err
	}
	opts.Host, _, _ = net.SplitHostPort(cfg.Listen)
	opts.Port = port
	return opts, nil
}

// withRoom runs the server, and tells how much it may take on disk. A folder may
// have streams that set more aside than that, from when the disk had more free;
// they could not even be made smaller if the server did not allow for them.
func withRoom(opts *server.Options) (s *server.Server, room int64, err error) {
	if s, err = runNATS(opts); err != nil {
		return nil, 0, err
	}
	room = s.JetStreamConfig().MaxStore
	_, reserved, err := s.JetStreamReservedResources()
	if err != nil || reserved <= room {
		return s, room, err
	}
	opts.JetStreamMaxStore = reserved + room
	s.Shutdown()
	s.WaitForShutdown()
	s, err = runNATS(opts)
	return s, room, err
}

func runNATS(opts *server.Options) (*server.Server, error) {
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	log := &complaints{}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	if err := log.fatal(); err != nil {
		s.Shutdown()
		return nil, err
	}
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, errors.New("it was not ready within 10 s")
	}
	return s, nil
}

// freePort resolves the port of a listen address; one that is taken is told
// here, in words, since the server would only never become ready.
func freePort(listen string) (int, error) {
	l, err := net.Listen("tcp", listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return 0, fmt.Errorf("%s is already in use: stop what listens there, or use port 0 for any free one", listen)
	}
	if err != nil {
		return 0, fmt.Errorf("listening on %s: %w", listen, err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Connect opens a connection inside this process, without a socket.
func (n *NATS) Connect(opts ...nats.Option) (*nats.Conn, error) {
	all := []nats.Option{nats.InProcessServer(n.server)}
	if n.password != "" {
		all = append(all, nats.UserInfo(user, n.password))
	}
	nc, err := nats.Connect("", append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// URL is where other processes connect, with the password if there is one;
// empty if the server does not listen.
func (n *NATS) URL() string {
	addr, ok := n.server.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	u := url.URL{Scheme: "nats", Host: net.JoinHostPort(addr.IP.String(), strconv.Itoa(addr.Port))}
	if n.password != "" {
		u.User = url.UserPassword(user, n.password)
	}
	return u.String()
}

// Room is how much JetStream may take on disk, in bytes, what it has already
// included. Streams that set more aside are refused.
func (n *NATS) Room() int64 { return n.room }

// ID names this run of the server; a server started again has another one.
func (n *NATS) ID() string { return n.server.ID() }

// Close stops the server and frees its folder. Connections break at once;
// nothing acknowledged is lost.
func (n *NATS) Close() error { return n.close() }

func (n *NATS) shutdown() error {
	n.server.Shutdown()
	n.server.WaitForShutdown()
	return n.lock.Release()
}

// complaints is a log that only remembers why the server could not start.
type complaints struct {
	mu    sync.Mutex
	first error
}

func (c *complaints) Fatalf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == nil {
		c.first = fmt.Errorf(format, args...)
	}
}

func (c *complaints) fatal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

func (c *complaints) Errorf(string, ...any)  {}
func (c *complaints) Warnf(string, ...any)   {}
func (c *complaints) Noticef(string, ...any) {}
func (c *complaints) Debugf(string, ...any)  {}
func (c *complaints) Tracef(string, ...any)  {}
