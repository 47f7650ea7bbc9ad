package imis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"
	"syscall"

	"runhook/shared/outward"
	"runhook/shared/run"
)

// explain says why there is no answer. An error's own words may hold the address with its values, so none
// of them are used. What may pass is a [*passing].
func (c *client) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	site := "the site of connection " + c.connection.Name
	if errors.Is(err, outward.ErrPrivate) {
		return run.Failf("%s cannot be reached: its host has a private address; write private: true beside the url of the connection in the connections file if that is meant", site)
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		names := "none"
		if host.Certificate != nil && len(host.Certificate.DNSNames) > 0 {
			names = host.Certificate.DNSNames[0]
		}
		return run.Failf("%s has a certificate that is not for %s (it is for %s); correct the url", site, host.Host, names)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return run.Failf("%s has a certificate that no authority known to the runner has signed; add that authority to the runner's system, or name its file in SSL_CERT_FILE", site)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return run.Failf("%s has a certificate that has expired or is not yet valid; see also to the runner's clock", site)
		}
		return run.Failf("%s has a certificate that is not valid", site)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return run.Failf("%s has a certificate that is not valid", site)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return run.Failf("%s does not speak TLS where its url says https", site)
	}
	if refused, ok := errors.AsType[*proxyRefusal](err); ok {
		switch {
		case refused.status == http.StatusProxyAuthRequired:
			return run.Failf("%s is behind a proxy that asks to sign in (status 407); put user and password into HTTPS_PROXY", site)
		case refused.status >= http.StatusInternalServerError:
			return &passing{reason: "cannot be asked: the proxy between does not reach it (status " + strconv.Itoa(refused.status) + ")", tries: maxTries, undone: true}
		}
		return run.Failf("%s is behind a proxy that refuses to connect to it (status %d); correct HTTPS_PROXY, or name the host in NO_PROXY", site, refused.status)
	}
	if isTimeout(err) {
		return &passing{reason: "does not answer in time", tries: maxBlindTries, undone: isUnsent(err)}
	}
	return &passing{reason: reason(err), tries: maxTries, undone: isUnsent(err)}
}

// isUnsent reports whether there was no connection that the request could have been sent on.
func isUnsent(err error) bool {
	operation, ok := errors.AsType[*net.OpError](err)
	return ok && (operation.Op == "dial" || operation.Op == "proxyconnect")
}

// proxyRefusal is the answer of a proxy that does not connect to the site.
type proxyRefusal struct{ status int }

func (p *proxyRefusal) Error() string {
	return "the proxy refuses with status " + strconv.Itoa(p.status)
}

func isTimeout(err error) bool {
	timeout, isNet := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || isNet && timeout.Timeout()
}

// reason is a sentence part about a fault of the network.
func reason(err error) string {
	dialed, isProxy := errors.AsType[*net.OpError](err)
	unknown, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isProxy && dialed.Op == "proxyconnect":
		return "cannot be asked: the proxy that HTTPS_PROXY or HTTP_PROXY names is not there"
	case isDNS && unknown.IsNotFound:
		return "cannot be asked: its host is not known"
	case isDNS:
		return "cannot be asked: its host's address cannot be found out now"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "cannot be asked: nothing listens at its address"
	}
	return "does not answer: the connection breaks off"
}
