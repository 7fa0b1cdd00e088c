package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
)

// reason says in a few words why a server could not be reached.
func reason(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "no such host"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "it did not answer in time"
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer in time"
	}
	return err.Error()
}

// distrust says what to do where the two sides do not agree on certificates,
// or on using any; "" where that is not what is wrong. setting is where the
// certificates are in the configuration, plain and secure the schemes of
// addresses without TLS and with it, and used the one of the server's.
func distrust(err error, setting, plain, secure, used string) string {
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	_, garbled := errors.AsType[tls.RecordHeaderError](err)
	op, _ := errors.AsType[*net.OpError](err)
	switch {
	case unverified:
		return fmt.Sprintf("Say whom to trust with %s.ca_file, and reach the server by a name that its certificate has", setting)
	case op != nil && op.Op == "remote error": // as crypto/tls calls what the other side objects to
		return fmt.Sprintf("Give a certificate that the server trusts with %s.cert_file and key_file", setting)
	case used == secure && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)): // before it could say why
		return fmt.Sprintf("It hung up: if it wants a certificate, give one that the server trusts with %s.cert_file and key_file", setting)
	case garbled || errors.Is(err, io.EOF) && used == secure:
		return fmt.Sprintf("A server without TLS is reached as %s://", plain)
	case errors.Is(err, io.EOF):
		return fmt.Sprintf("A server that speaks TLS is reached as %s://", secure)
	}
	return ""
}

// addresses splits a list of server URLs. Errors do not repeat the text, which
// may hold a password.
func addresses(list string, schemes ...string) ([]*url.URL, error) {
	var all []*url.URL
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		if !strings.Contains(text, "://") {
			text = schemes[0] + "://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
			return nil, fmt.Errorf("not an address such as %s://host:port; a password with special characters has to be percent-encoded", schemes[0])
		}
		all = append(all, u)
	}
	return all, nil
}

// shown prints addresses without user, password or parameters.
func shown(all []*url.URL) string {
	texts := make([]string, len(all))
	for i, u := range all {
		texts[i] = u.Scheme + "://" + u.Host
	}
	return strings.Join(texts, ",")
}

// scrub takes the secrets out of a message of a library.
func scrub(message string, secrets ...string) string {
	for _, s := range secrets {
		if s != "" {
			message = strings.ReplaceAll(message, s, "***")
		}
	}
	return message
}
