package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// versions are those of this program and of the node that answers.
type versions struct {
	Client clientVersion  `json:"client"`
	Server *serverVersion `json:"server,omitempty"`
}

type clientVersion struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Protocol is the newest version of the streams, Commands of the log's entries.
	Protocol uint32 `json:"protocol"`
	Commands uint32 `json:"commands"`
}

type serverVersion struct {
	Version    string `json:"version"`
	Node       string `json:"node"`
	Federation string `json:"federation"`
}

func newVersionCommand(opts *operatorOptions) *cobra.Command {
	var out output
	var clientOnly bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the versions of this program and of the federation's node",
		Long:    `Shows this program's version, and that of the node that answers where an operator's credential is at hand.`,
		Example: "  hanse version\n  hanse version --client -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			v := versions{Client: clientVersion{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, model.ProtocolMax, model.CommandVersion}}
			var asked error
			if !clientOnly {
				v.Server, asked = askVersion(cmd, opts)
			}
			if err := out.printNamed(cmd, v, []string{version}, func(w io.Writer) { printVersions(w, v) }); err != nil {
				return err
			}
			return asked
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "do not ask the federation")
	out.bind(cmd)
	return cmd
}

// askVersion asks the federation. Who has no credential at all has no federation to ask.
func askVersion(cmd *cobra.Command, opts *operatorOptions) (*serverVersion, error) {
	c, err := opts.client()
	var coded codedError
	if errors.As(err, &coded) && coded.code == exitUsage && !opts.given() {
		fmt.Fprintf(cmd.ErrOrStderr(), "the federation was not asked: no operator token is at hand ('hanse version --client' says so by itself)\n")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s rest.Status
	if err := into(&s)(c.api().GetStatus(cmd.Context(), nil)); err != nil {
		return nil, err
	}
	return &serverVersion{s.Version, s.Node, s.Federation}, nil
}

// given reports whether the operator said as whom or where.
func (o *operatorOptions) given() bool {
	return o.context+o.token+o.tokenFile+o.bearerFile+o.certificate+o.key+o.socket+o.pin != "" || len(o.servers) > 0
}

func printVersions(w io.Writer, v versions) {
	row(w, "SIDE", "VERSION", "DETAILS")
	row(w, "client", v.Client.Version, v.Client.Go+" "+v.Client.Platform)
	if v.Server != nil {
		row(w, "server", v.Server.Version, fmt.Sprintf("node %s of %s", v.Server.Node, v.Server.Federation))
	}
}
