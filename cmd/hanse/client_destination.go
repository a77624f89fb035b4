package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/token"
)

// destination is where a federation is, and as whom it is met.
type destination struct {
	// socket leads to one node on this machine, which takes who may open it for its operator; the rest then says nothing.
	socket string
	// servers are those to try, in this order.
	servers []string
	// pin is the SHA-256 by which the federation's root is recognised.
	pin []byte
	// bearer or certificate is the operator's credential.
	bearer      string
	certificate *tls.Certificate
	known       knownServers
}

// resolve finds the way: what the command is told wins over the context, and the context over the files of "server init". An operator
// token says all by itself, so that one that is given does not go to the servers of a context that happens to be in use.
func (o *operatorOptions) resolve() (destination, error) {
	var spec contextSpec
	if o.context != "" || !o.selfContained() {
		held, err := loadContexts()
		if err != nil {
			return destination{}, err
		}
		if spec, err = held.find(o.context); err != nil {
			return destination{}, err
		}
	}
	return o.find(spec)
}

// find follows the flags, and the context where they say nothing.
func (o *operatorOptions) find(spec contextSpec) (destination, error) {
	if err := o.check(); err != nil {
		return destination{}, err
	}
	w, err := o.identify(spec)
	if err != nil || w.socket != "" {
		return w, err
	}
	return o.locate(w, spec)
}

// selfContained reports whether an operator token is given, and nothing that goes before it.
func (o *operatorOptions) selfContained() bool {
	return (o.token != "" || o.tokenFile != "") && o.socket == "" && o.certificate == "" && o.bearerFile == ""
}

// identify settles as whom: by the command's own flags, else by the context.
func (o *operatorOptions) identify(spec contextSpec) (destination, error) {
	told := contextSpec{Socket: o.socket, Certificate: o.certificate, Key: o.key, BearerFile: o.bearerFile, TokenFile: o.tokenFile}
	switch {
	case told.credential() || o.token != "":
	case spec.credential():
		told = spec
	default:
		told.TokenFile = defaultTokenFile()
	}
	switch {
	case told.Socket != "":
		return destination{socket: told.Socket}, nil
	case told.Certificate != "":
		return withCertificate(told)
	case told.BearerFile != "":
		text, err := readSecret("--token-file", told.BearerFile)
		return destination{bearer: text}, err
	case o.token != "":
		return withToken(o.token, defaultTokenFile())
	}
	text, err := readSecret("--operator-token-file", told.TokenFile)
	if err != nil {
		return destination{}, usageError("no operator token: set HANSE_OPERATOR_TOKEN, --operator-token-file to the file that 'hanse server init' wrote, "+
			"or a context ('hanse context set --help'): %w", err)
	}
	return withToken(text, told.TokenFile)
}

// credential reports whether the context says as whom.
func (c contextSpec) credential() bool {
	return c.Socket != "" || c.Certificate != "" || c.BearerFile != "" || c.TokenFile != ""
}

// locate adds where the nodes are and how they are recognised, unless the credential has said so.
func (o *operatorOptions) locate(w destination, spec contextSpec) (destination, error) {
	if pin, _ := parsePin("", o.pin); len(pin) > 0 {
		w.pin = pin
	}
	if len(w.pin) == 0 {
		pin, err := parsePin("the context's pin", spec.Pin)
		if err != nil {
			return destination{}, err
		}
		w.pin = pin
	}
	if len(w.pin) == 0 {
		return destination{}, usageError("--pin is not set: without an operator token, give the SHA-256 of the federation's root certificate, by which its nodes are recognised")
	}
	if w.known.path == "" {
		w.known = serverMemory(w.pin, configDir())
	}
	w.servers = unique(slices.Concat(spec.Servers, w.servers, w.known.load()))
	if len(o.servers) > 0 {
		w.servers = unique(o.servers)
	}
	if len(w.servers) == 0 {
		return destination{}, usageError("--server is not set: without an operator token, give the REST address host:port of a federation node")
	}
	return w, nil
}

// withToken takes all from an operator token; file is the one that it stands in.
func withToken(text, file string) (destination, error) {
	t, err := token.Parse(text)
	if err != nil {
		return destination{}, usageError("operator token: %w", err)
	}
	if t.Kind != model.TokenOperator {
		return destination{}, usageError("operator token: this is a %s token; 'hanse server init' printed the operator token", t.Kind)
	}
	return destination{bearer: text, servers: slices.Clone(t.Addresses), pin: t.Pin, known: serverMemory(t.Pin, filepath.Dir(file))}, nil
}

// withCertificate presents a certificate. A chain that ends with the root, as the federation gives it out, says how to recognise the
// nodes, too.
func withCertificate(spec contextSpec) (destination, error) {
	cert, err := tls.LoadX509KeyPair(spec.Certificate, spec.Key)
	if err != nil {
		return destination{}, usageError("--certificate and --key: %w", err)
	}
	w := destination{certificate: &cert}
	last, err := x509.ParseCertificate(cert.Certificate[len(cert.Certificate)-1])
	if err != nil {
		return destination{}, usageError("--certificate: %w", err)
	}
	if last.IsCA && bytes.Equal(last.RawSubject, last.RawIssuer) {
		sum := sha256.Sum256(last.Raw)
		w.pin = sum[:]
	}
	return w, nil
}

func readSecret(flag, path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", usageError("%s: %w", flag, err)
	}
	return strings.TrimSpace(string(data)), nil
}
