package llm

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Transport returns a transport for a worker with that many slots: one
// connection for each is kept open between calls, and HTTP/2 shares one where
// the provider has it. How long a call may take is left to the call.
//
// Compression is not asked for: answers are a few KiB, and inflating one of
// 3 KiB took twice as long as reading it, and ten times the memory.
func Transport(slots int) *http.Transport {
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    max(slots, 1),
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true,
		HTTP2: &http.HTTP2Config{ // or a dead connection fails many calls, one timeout each
			SendPingTimeout: 15 * time.Second,
			PingTimeout:     15 * time.Second,
		},
	}
}

// proxy is the environment's. Its own error would repeat the proxy's password.
func proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("HTTPS_PROXY or HTTP_PROXY is not a valid address")
	}
	return u, nil
}
