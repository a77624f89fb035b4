package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// certified is where an operator's new certificate is.
type certified struct {
	ID          string    `json:"id"`
	Certificate string    `json:"certificate"`
	Key         string    `json:"key"`
	ExpiresAt   time.Time `json:"expiresAt"`
}

func newTokenCertificateCommand(opts *operatorOptions) *cobra.Command {
	var out output
	var folder string
	cmd := &cobra.Command{
		Use:   "certificate NAME",
		Short: "Make a certificate for an operator, which counts in place of a token",
		Long: `Makes a key in NAME.key, unless it is there already, and has the federation sign a certificate of it, which is written to NAME.pem with the
issuers. The key stays where it is made. The certificate proves the name for twelve hours; what the name may do is for RoleBindings to say
(subject kind "certificate").`,
		Example: `  hanse token create certificate ann
  hanse token create certificate ann --dir ~/.config/hanse`,
		Args: oneArg("the operator's name"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if err := model.ValidateOperator("name", args[0]); err != nil {
				return usageError("%w", err)
			}
			c, err := opts.client()
			if err != nil {
				return err
			}
			made, err := certify(cmd, c, args[0], folder)
			if err != nil {
				return err
			}
			return out.printNamed(cmd, made, []string{made.ID}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is proven by %s until %s\n", made.ID, made.Certificate, made.ExpiresAt.UTC().Format(time.RFC3339))
				fmt.Fprintf(w, "use it with: hanse --certificate %s --key %s --server HOST:PORT status\n", made.Certificate, made.Key)
			})
		},
	}
	cmd.Flags().StringVar(&folder, "dir", ".", "folder for the two files")
	_ = cmd.MarkFlagDirname("dir")
	out.bind(cmd)
	return cmd
}

// certify makes the key, if need be, and has a certificate of it signed.
func certify(cmd *cobra.Command, c *client, name, folder string) (certified, error) {
	made := certified{Key: filepath.Join(folder, name+".key"), Certificate: filepath.Join(folder, name+".pem")}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return made, usageError("--dir %s is no folder: make it first", folder)
	}
	key, err := identity.LoadOrCreateKey(made.Key)
	if err != nil {
		return made, err
	}
	csr, err := ca.CSR(key, name)
	if err != nil {
		return made, err
	}
	request := rest.NewOperatorCertificate{Name: name, CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))}
	var signed rest.OperatorCertificate
	contentType, body, err := asJSON(request)
	if err != nil {
		return made, err
	}
	if err := into(&signed)(c.api().CreateOperatorCertificateWithBody(cmd.Context(), contentType, body)); err != nil {
		return made, err
	}
	made.ID, made.ExpiresAt = signed.ID, signed.ExpiresAt
	return made, atomicfile.Write(made.Certificate, []byte(signed.Chain), 0o644)
}
