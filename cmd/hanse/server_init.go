package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

const (
	// firstNodeTokenTTL is how long the tokens that "server init" prints may be used.
	firstNodeTokenTTL = 24 * time.Hour
	// firstNodeTokens is how many nodes "server init" invites: with itself they are three, which survive the loss of one.
	firstNodeTokens = 2
	// firstOperator is how the audit log calls the holder of the first operator token.
	firstOperator = "first-admin"
)

// foundingReport is what "server init" prints.
type foundingReport struct {
	Federation        string   `json:"federation"`
	OperatorTokenFile string   `json:"operatorTokenFile,omitempty"`
	RootKeyFile       string   `json:"rootKeyFile,omitempty"`
	NodeTokens        []string `json:"nodeTokens"`
	// OperatorToken and RootKey are here if no file was to hold them.
	OperatorToken string `json:"operatorToken,omitempty"`
	RootKey       string `json:"rootKey,omitempty"`
}

// shown stands for a file's name where the text is to be printed instead.
const shown = "-"

func newServerInitCommand() *cobra.Command {
	var opts serverOptions
	var out output
	var federation, tokenFile, rootKeyFile string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new federation, with this machine as its first node",
		Long: `Makes the federation's root CA, this node's identity and the first tokens in --data-dir. The root's key is written to
--root-key-file for you to keep offline: no server holds it. Start the node afterwards with 'hanse server' and the same flags.`,
		Example: `  hanse server init --federation example.org --region eu
  hanse server --region eu
  hanse server init --federation example.org --region eu --operator-token-file - --root-key-file -`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.validate(); err != nil {
				return err
			}
			if _, err := spiffeid.TrustDomainFromString(federation); err != nil || federation == "" {
				return usageError("--federation %q is not a trust domain: use lower-case letters, digits, '.', '-', for example example.org", federation)
			}
			made, err := foundFederation(opts, federation, tokenFile, rootKeyFile)
			if err != nil {
				return err
			}
			return out.print(cmd, made, func(w io.Writer) { explainFounded(w, startFlags(cmd), made) })
		},
	}
	opts.bind(cmd)
	out.bind(cmd)
	cmd.Flags().StringVar(&federation, "federation", "", "name of the federation: the trust domain of its nodes and agents, for example example.org")
	cmd.Flags().StringVar(&tokenFile, "operator-token-file", defaultTokenFile(), "where to write the first operator token; - prints it")
	cmd.Flags().StringVar(&rootKeyFile, "root-key-file", "hanse-root.key", "where to write the federation's root key: keep it offline; - prints it")
	return cmd
}

// startFlags repeats what was set, in whatever way, of the flags that "hanse server" has too.
func startFlags(cmd *cobra.Command) string {
	var b strings.Builder
	server := newServerCommand().Flags()
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if server.Lookup(f.Name) != nil && f.Name != "help" {
			fmt.Fprintf(&b, " --%s %s", f.Name, f.Value)
		}
	})
	return b.String()
}

func explainFounded(w io.Writer, flags string, made foundingReport) {
	fmt.Fprintf(w, `Federation %s is made. Start this node with the same flags:

  hanse server%s

Add two more nodes, each with a token of its own (valid for %s):

`, made.Federation, flags, firstNodeTokenTTL)
	for _, t := range made.NodeTokens {
		fmt.Fprintf(w, "  hanse server --name NAME --region REGION --join %s\n", t)
	}
	explainSecrets(w, made)
}

// explainSecrets says where the first secrets are, or shows them.
func explainSecrets(w io.Writer, made foundingReport) {
	if made.OperatorToken != "" {
		fmt.Fprintf(w, "\nYour operator token, an admin's, is shown only now:\n\n  %s\n", made.OperatorToken)
	} else {
		fmt.Fprintf(w, `
Your operator token, an admin's, is in %s: with it, '%s' works from here once the node runs.
`, made.OperatorTokenFile, statusCommand(made.OperatorTokenFile))
	}
	fmt.Fprintln(w, "If it is lost, the socket admin.sock in --data-dir lets you make another: see 'hanse server --help'.")
	if made.RootKey != "" {
		fmt.Fprintf(w, "\nThe root key is shown only now. Keep it in a safe place offline; no server needs it:\n\n%s", made.RootKey)
	} else {
		fmt.Fprintf(w, "The root key is in %s. Move it to a safe place offline; no server needs it.\n", made.RootKeyFile)
	}
}

// statusCommand names the token's file where the command would look elsewhere.
func statusCommand(tokenFile string) string {
	if tokenFile == defaultTokenFile() {
		return "hanse status"
	}
	return "hanse status --operator-token-file " + tokenFile
}

// foundFederation makes a federation in an empty data folder.
func foundFederation(opts serverOptions, federation, tokenFile, rootKeyFile string) (foundingReport, error) {
	if err := openDataDir(opts.dataDir); err != nil {
		return foundingReport{}, err
	}
	if _, err := os.Stat(filepath.Join(opts.dataDir, nodeFile)); !errors.Is(err, fs.ErrNotExist) {
		return foundingReport{}, fmt.Errorf("--data-dir %s already belongs to a node: start it with 'hanse server', or choose an empty folder", opts.dataDir)
	}
	node, err := opts.node()
	if err != nil {
		return foundingReport{}, err
	}
	now := time.Now()
	root, err := ca.NewRoot(ca.RootOptions{TrustDomain: federation, CommonName: "Hanse federation root", Now: now})
	if err != nil {
		return foundingReport{}, err
	}
	// The root key goes to the operator's file first: if that fails, nothing has been made that could not be made again.
	made := foundingReport{Federation: federation}
	if err := made.giveRootKey(rootKeyFile, root); err != nil {
		return foundingReport{}, err
	}
	if err := foundIdentity(opts.dataDir, federation, node, root, now); err != nil {
		return foundingReport{}, err
	}
	err = made.foundTokens(opts.dataDir, node, root, now, tokenFile)
	return made, err
}

// giveRootKey writes the root key into the operator's file, or takes it along to be printed.
func (made *foundingReport) giveRootKey(path string, root *ca.Authority) error {
	key, err := x509.MarshalPKCS8PrivateKey(root.Signer())
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Root()})...)
	if path == shown {
		made.RootKey = string(text)
		return nil
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--root-key-file %s exists: move it away, or choose another path", path)
	}
	made.RootKeyFile = path
	return atomicfile.Write(path, text, 0o600)
}

// foundIdentity makes the first node's key and issuing CA, both certified by the root.
func foundIdentity(dir, federation string, node model.Node, root *ca.Authority, now time.Time) error {
	issuingKey, err := identity.LoadOrCreateKey(filepath.Join(dir, issuingKeyFile))
	if err != nil {
		return err
	}
	csr, err := ca.CSR(issuingKey, issuingName(node.Name))
	if err != nil {
		return err
	}
	chain, err := root.Intermediate(csr, ca.IntermediateOptions{CommonName: issuingName(node.Name), TTL: server.IssuingTTL, Now: now})
	if err != nil {
		return err
	}
	if err := identity.SaveChain(filepath.Join(dir, issuingChainFile), chain); err != nil {
		return err
	}
	issuing, err := ca.NewAuthority(issuingKey, chain)
	if err != nil {
		return err
	}
	gossipKey := make([]byte, 32)
	if _, err := rand.Read(gossipKey); err != nil {
		return err
	}
	if err := saveNodeIdentity(dir, nodeIdentity{Federation: federation, Name: node.Name, GossipKeys: [][]byte{gossipKey}}); err != nil {
		return err
	}
	return issueOwnCertificate(dir, issuing, federation, node, now)
}

// foundTokens makes the operator's and the first nodes' tokens; the node proposes them when it starts for the first time.
func (made *foundingReport) foundTokens(dir string, node model.Node, root *ca.Authority, now time.Time, tokenFile string) error {
	pin := pinOf(root.Root())
	operator, err := token.New(model.TokenOperator, rand.Reader, made.Federation, pin, []string{node.RESTAddress})
	if err != nil {
		return err
	}
	first := keptToken(operator, now, time.Time{})
	first.Role, first.Label = model.RoleAdmin, firstOperator
	begin := founding{Root: root.Root(), Operator: first}
	for range firstNodeTokens {
		t, err := token.New(model.TokenNode, rand.Reader, made.Federation, pin, []string{node.GRPCAddress})
		if err != nil {
			return err
		}
		begin.NodeTokens = append(begin.NodeTokens, keptToken(t, now, now.Add(firstNodeTokenTTL)))
		made.NodeTokens = append(made.NodeTokens, t.String())
	}
	data, err := json.Marshal(begin)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, foundingFile), data, 0o600); err != nil {
		return err
	}
	if tokenFile == shown {
		made.OperatorToken = operator.String()
		return nil
	}
	made.OperatorTokenFile = tokenFile
	if err := os.MkdirAll(filepath.Dir(tokenFile), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(tokenFile, []byte(operator.String()+"\n"), 0o600)
}

// keptToken is what the federation keeps of a token.
func keptToken(t token.Token, now, expires time.Time) foundingToken {
	return foundingToken{ID: t.ID, Kind: t.Kind, SecretHash: token.Hash(t.Secret), CreatedAt: now, ExpiresAt: expires}
}
