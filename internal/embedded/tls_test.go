package embedded_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/redistest"
)

// trust is a certificate that vouches for itself, for a server at 127.0.0.1
// and for its clients.
type trust struct {
	pair      tls.Certificate
	pool      *x509.CertPool
	cert, key string // files
}

func newTrust(t *testing.T) *trust {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w := &trust{pool: x509.NewCertPool(), cert: filepath.Join(t.TempDir(), "cert"), key: filepath.Join(t.TempDir(), "key")}
	for file, block := range map[string]*pem.Block{w.cert: {Type: "CERTIFICATE", Bytes: der}, w.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if w.pair, err = tls.LoadX509KeyPair(w.cert, w.key); err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	w.pool.AddCert(cert)
	return w
}

func (w *trust) client() *tls.Config {
	return &tls.Config{RootCAs: w.pool, Certificates: []tls.Certificate{w.pair}}
}

func TestRedisIsReachedOverTLS(t *testing.T) {
	t.Parallel()
	w := newTrust(t)
	s := redistest.StartTLS(t, w.cert, w.cert, w.key)
	client, _, err := embedded.ConnectRedis(t.Context(), embedded.RedisOptions{URL: "rediss://" + s.Addr, TLS: w.client()})
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close()

	try := func(o embedded.RedisOptions) error {
		_, _, err := embedded.ConnectRedis(t.Context(), o)
		return err
	}
	refuses(t, try(embedded.RedisOptions{URL: "rediss://" + s.Addr}), "signed by unknown authority. Say whom to trust with redis.tls.ca_file")
	refuses(t, try(embedded.RedisOptions{URL: "rediss://" + s.Addr, TLS: &tls.Config{RootCAs: w.pool}}), "certificate required. Give a certificate that the server trusts with redis.tls.cert_file")
	refuses(t, try(embedded.RedisOptions{URL: "redis://" + s.Addr}), "A server that speaks TLS is reached as rediss://")
	plain := startRedis(t, embedded.RedisConfig{})
	refuses(t, try(embedded.RedisOptions{URL: "rediss://" + plain.Addr()}), "A server without TLS is reached as redis://")
}

func TestNATSIsReachedOverTLS(t *testing.T) {
	t.Parallel()
	w := newTrust(t)
	s := runNATS(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{w.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: w.pool,
	}})
	try := func(cfg *tls.Config) error {
		nc, _, err := embedded.ConnectNATS(t.Context(), embedded.NATSOptions{URL: "tls://" + s.Addr().String(), TLS: cfg})
		if err == nil {
			nc.Close()
		}
		return err
	}
	if err := try(w.client()); err != nil {
		t.Fatal(err)
	}
	refuses(t, try(nil), "signed by unknown authority. Say whom to trust with nats.tls.ca_file")
	refuses(t, try(&tls.Config{RootCAs: w.pool}), "that the server trusts with nats.tls.cert_file")
}

// A server that wants a certificate may hang up before its word of that is read.
func TestServerThatHangsUpMayWantACertificate(t *testing.T) {
	t.Parallel()
	w := newTrust(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, `INFO {"server_id":"X","version":"2.15.2","tls_required":true}`+"\r\n")
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{w.pair}}).Handshake()
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	_, _, err = embedded.ConnectNATS(t.Context(), embedded.NATSOptions{URL: "tls://" + l.Addr().String(), TLS: &tls.Config{RootCAs: w.pool}})
	refuses(t, err, "It hung up: if it wants a certificate, give one that the server trusts with nats.tls.cert_file and key_file")
	_ = l.Close()
	serving.Wait()
}
