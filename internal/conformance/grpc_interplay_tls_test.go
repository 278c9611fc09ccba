package conformance_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// authority issues certificates for one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	template := certificateFor("authority", 1)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.certificate, err = x509.ParseCertificate(raw)
	require.NoError(t, err)
	a.pool.AddCert(a.certificate)
	return a
}

func certificateFor(name string, serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// issue makes a certificate with a serial number of its own: two of one name are
// one principal.
func (a *authority) issue(t *testing.T, name string, serial int64) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	raw, err := x509.CreateCertificate(rand.Reader, certificateFor(name, serial), a.certificate, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// as makes a client with that certificate, or none.
func (a *authority) as(t *testing.T, s *grpcService, certificates ...tls.Certificate) *grpcService {
	t.Helper()
	creds := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: a.pool, Certificates: certificates})
	return &grpcService{OrdersClient: testpb.NewOrdersClient(dialGRPC(t, s.Addr, grpcgo.WithTransportCredentials(creds)))}
}

// peerName is the scope of a call: who its verified certificate is for.
func peerName(ctx context.Context) (string, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", errors.New("no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return "", errors.New("no verified certificate")
	}
	return info.State.VerifiedChains[0][0].Subject.CommonName, nil
}

func TestG25_TwoPrincipalsByTheirCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	creds := credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{a.issue(t, "server", 2)},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: a.pool,
	})
	s := newGRPC(t, grpcSetup{
		options: []idemgrpc.Option{idemgrpc.Scope(peerName)},
		server:  []grpcgo.ServerOption{grpcgo.Creds(creds)},
	})
	alice, bob := a.as(t, s, a.issue(t, "alice", 3)), a.as(t, s, a.issue(t, "bob", 4))
	aliceAnew := a.as(t, s, a.issue(t, "alice", 5)) // after her certificate was renewed
	key := newKey()
	requireTwoPrincipals(t, s,
		func(amount int64) told { return alice.create(t.Context(), key, &testpb.Order{Amount: amount}) },
		func(amount int64) told { return bob.create(t.Context(), key, &testpb.Order{Amount: amount}) })
	again := aliceAnew.create(t.Context(), key, &testpb.Order{Amount: 1})
	assert.True(t, again.replayed())
	// What a caller says about itself in metadata is not what its certificate says.
	again = bob.create(t.Context(), key, &testpb.Order{Amount: 1}, "x-tenant", "alice", "idempotency-scope", "alice")
	requireRefusal(t, again, codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	requireRefusal(t, a.as(t, s).create(t.Context(), key, &testpb.Order{}), codes.Internal, "SCOPE_MISSING")
	stranger := a.as(t, s, newAuthority(t).issue(t, "alice", 6)) // of an authority that the server does not know
	requireCode(t, stranger.create(t.Context(), key, &testpb.Order{Amount: 1}), codes.Unavailable)
	assert.Equal(t, 2, s.Runs())
}

func TestG25_TwoPrincipalsByMetadata(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{})
	key := newKey()
	as := func(tenant string) func(int64) told {
		return func(amount int64) told {
			return s.create(t.Context(), key, &testpb.Order{Amount: amount}, "x-tenant", tenant)
		}
	}
	requireTwoPrincipals(t, s, as("P1"), as("P2"))
}

// requireTwoPrincipals asserts that two callers with one key have one run each,
// and that neither sees anything of the other's: not its answer, and not by a
// refusal that there is one.
func requireTwoPrincipals(t *testing.T, s *grpcService, first, second func(amount int64) told) {
	t.Helper()
	before := s.Runs()
	one, other := first(1), second(2)
	for _, got := range []told{one, other} {
		requireCode(t, got, codes.OK)
		assert.Equal(t, []string{"executed"}, got.Header.Get("idempotency-status"))
	}
	assert.NotEqual(t, one.Receipt.GetId(), other.Receipt.GetId())
	for range 2 {
		requireSame(t, one, first(1))
		requireSame(t, other, second(2))
	}
	requireRefusal(t, first(2), codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	requireRefusal(t, second(1), codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	assert.Equal(t, before+2, s.Runs())
}
