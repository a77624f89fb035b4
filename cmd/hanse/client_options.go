package main

import (
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// operatorOptions say which federation an operator's command talks to, and as whom.
type operatorOptions struct {
	context     string
	token       string
	tokenFile   string
	bearerFile  string
	certificate string
	key         string
	socket      string
	servers     []string
	pin         string
	timeout     time.Duration
	// stderr is where the command that runs tells what it waits for.
	stderr func() io.Writer
}

// bind gives a command and those below it the flags.
func (o *operatorOptions) bind(cmd *cobra.Command) {
	o.bindFlags(cmd, cmd.PersistentFlags())
	o.stderr = func() io.Writer { return os.Stderr }
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		o.stderr = cmd.ErrOrStderr
		// What stood before the command is as good as what stands behind it.
		for _, name := range givenFlags(cmd.Root()) {
			if own := cmd.Flags().Lookup(name); own != nil {
				own.Changed = true
			}
		}
		return applyConfig(cmd)
	}
}

func (o *operatorOptions) bindFlags(cmd *cobra.Command, f *pflag.FlagSet) {
	f.StringVar(&o.context, "context", "", "federation to talk to, by the name that 'hanse context set' gave it (default: the one in use)")
	f.StringVar(&o.token, "operator-token", "", "operator token; better given as HANSE_OPERATOR_TOKEN or in a file")
	f.StringVar(&o.tokenFile, "operator-token-file", "", "file that holds the operator token (default "+defaultTokenFile()+")")
	f.StringVar(&o.bearerFile, "token-file", "", "file that holds a token (JWT) of an identity provider of the federation")
	f.StringVar(&o.certificate, "certificate", "", "file with your certificate and its issuers, PEM, in place of a token; needs --key")
	f.StringVar(&o.key, "key", "", "file with the key of --certificate, PEM")
	f.StringVar(&o.socket, "socket", "", "admin socket of a federation node on this machine, DATA_DIR/admin.sock, in place of a token")
	f.StringSliceVar(&o.servers, "server", nil, "REST address host:port of a federation node (default: those in the token, or in the context)")
	f.StringVar(&o.pin, "pin", "", "SHA-256 of the federation's root certificate, in hex (default: the one in the token, or in the context)")
	f.DurationVar(&o.timeout, "timeout", 15*time.Second, "give up after this long")
	for _, name := range []string{"operator-token", "server", "pin", "timeout"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	_ = cmd.RegisterFlagCompletionFunc("context", completeContextFlag)
}

// givenFlags are the flags that stood before the command.
func givenFlags(root *cobra.Command) []string {
	var names []string
	root.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			names = append(names, f.Name)
		}
	})
	return names
}

// configDir is the folder of an operator's own files.
func configDir() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "hanse")
}

// defaultTokenFile is where "server init" leaves the operator's token.
func defaultTokenFile() string { return filepath.Join(configDir(), "operator.token") }

// check refuses what cannot be meant, before anything is read.
func (o *operatorOptions) check() error {
	if o.timeout <= 0 {
		return usageError("--timeout %s is not a time to wait: give for example 15s", o.timeout)
	}
	for _, server := range o.servers {
		if _, _, err := splitPort("--server", server); err != nil {
			return err
		}
	}
	if (o.certificate == "") != (o.key == "") {
		return usageError("--certificate and --key belong together: give both")
	}
	if _, err := parsePin("--pin", o.pin); err != nil {
		return err
	}
	return nil
}

// parsePin reads the hex form of a SHA-256; from is the flag or field that holds it. Empty is none.
func parsePin(from, text string) ([]byte, error) {
	pin, err := hex.DecodeString(text)
	if err != nil || len(pin) != 0 && len(pin) != 32 {
		return nil, usageError("%s %.80q is not a SHA-256: give 64 hexadecimal digits", from, text)
	}
	return pin, nil
}
