package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/token"
)

// The bounds of what a caller without an identity may send, in bytes.
const (
	maxCSR    = 16 << 10
	maxSecret = 255
)

// joinClusterCommand reads a join: bounds, clock and proof of possession. Whether the token allows it is the state's decision.
func joinClusterCommand(r *hansev1.JoinClusterRequest, now time.Time) (state.JoinCluster, error) {
	cluster, err := model.ParseClusterName(r.GetCluster())
	if err != nil {
		return state.JoinCluster{}, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := checkCredential(r.GetTokenId(), r.GetSecret()); err != nil {
		return state.JoinCluster{}, err
	}
	if err := checkSkew(time.UnixMilli(r.GetUnixMillis()), now); err != nil {
		return state.JoinCluster{}, err
	}
	if err := checkDomain(r.GetTrustDomain()); err != nil {
		return state.JoinCluster{}, err
	}
	key, err := provenKey("csr", r.GetCsr())
	if err != nil {
		return state.JoinCluster{}, err
	}
	return state.JoinCluster{
		TokenID: r.GetTokenId(), SecretHash: token.Hash(r.GetSecret()),
		Cluster: cluster, TrustDomain: r.GetTrustDomain(), AgentKey: key, Region: r.GetRegion(),
	}, nil
}

func redeemNodeCommand(r *hansev1.JoinNodeRequest) (state.RedeemNodeToken, error) {
	node, err := codec.NodeFromProto(r.GetNode())
	if err != nil {
		return state.RedeemNodeToken{}, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := checkCredential(r.GetTokenId(), r.GetSecret()); err != nil {
		return state.RedeemNodeToken{}, err
	}
	key, err := provenKey("csr", r.GetCsr())
	if err != nil {
		return state.RedeemNodeToken{}, err
	}
	caKey, err := provenKey("ca_csr", r.GetCaCsr())
	if err != nil {
		return state.RedeemNodeToken{}, err
	}
	if string(key) == string(caKey) {
		return state.RedeemNodeToken{}, status.Error(codes.InvalidArgument, "csr and ca_csr are for the same key: a node's own certificate and its issuing CA need a key each")
	}
	hash := sha256.Sum256(key)
	return state.RedeemNodeToken{TokenID: r.GetTokenId(), SecretHash: token.Hash(r.GetSecret()), KeyHash: hash[:], Node: node}, nil
}

func putBundleCommand(p *hansev1.PutBundle) (state.PutBundle, error) {
	cluster, err := model.ParseClusterName(p.GetCluster())
	if err != nil {
		return state.PutBundle{}, status.Error(codes.InvalidArgument, err.Error())
	}
	b, err := codec.SignedBundleFromProto(p.GetBundle())
	if err != nil {
		return state.PutBundle{}, status.Error(codes.InvalidArgument, err.Error())
	}
	return state.PutBundle{Cluster: cluster, Bundle: b}, nil
}

func checkCredential(id, secret string) error {
	if id == "" || len(id) > codec.MaxTokenID || secret == "" || len(secret) > maxSecret {
		return status.Error(codes.InvalidArgument, "the token's id or secret is missing or too long: copy the token whole")
	}
	return nil
}

// checkDomain refuses trust domains that read like another one as a DNS name: "example.org." is the same name as "example.org". An
// empty one means the default. Characters and reservations are the state's to judge.
func checkDomain(trustDomain string) error {
	if trustDomain != "" && slices.Contains(strings.Split(trustDomain, "."), "") {
		return status.Errorf(codes.InvalidArgument, "trust domain %.80q has an empty label: leave out leading, trailing and double dots", trustDomain)
	}
	return nil
}

func checkSkew(theirs, ours time.Time) error {
	if d := theirs.Sub(ours); d > MaxSkew || d < -MaxSkew {
		return status.Errorf(codes.FailedPrecondition,
			"the clocks differ too much: the agent's says %s, this node's %s; set both by NTP (at most %s apart), then join again",
			stamp(theirs), stamp(ours), MaxSkew)
	}
	return nil
}

// provenKey returns the public key (PKIX DER) of a PKCS#10 request whose sender has shown to hold it.
func provenKey(field string, der []byte) ([]byte, error) {
	if len(der) > maxCSR {
		return nil, status.Errorf(codes.InvalidArgument, "%s has %d bytes, more than %d", field, len(der), maxCSR)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "%s is not a certificate request: %v", field, err)
	}
	// What no CA of ours certifies is refused before it is agreed on: it would spend the token and take the name.
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "%s is for a key of type %T: an ECDSA key on P-256 or P-384 is needed", field, request.PublicKey)
	}
	if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
		return nil, status.Errorf(codes.InvalidArgument, "%s is for a key on %s: an ECDSA key on P-256 or P-384 is needed", field, key.Params().Name)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "%s is not signed by its own key: %v", field, err)
	}
	return request.RawSubjectPublicKeyInfo, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
