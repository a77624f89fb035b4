package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
)

func newContextCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Names for federations and for whom you are there",
		Long: `A context says how a federation is reached and as whom: by an operator token's file, a certificate, an identity provider's token, or a
node's socket. The contexts stand in ` + contextsFile() + `, which holds no secret itself. One of them is in use;
--context NAME or HANSE_CONTEXT takes another one for a command. What a command is told by its flags goes before the context.`,
	}
	cmd.AddCommand(newContextListCommand(), newContextUseCommand(), newContextSetCommand(opts), newContextDeleteCommand())
	return cmd
}

// contextView is what "context list" shows.
type contextView struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	contextSpec
}

func newContextListCommand() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: "list", Short: "List the contexts", Example: "  hanse context list", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			held, err := loadContexts()
			if err != nil {
				return err
			}
			list := []contextView{}
			for _, name := range held.names() {
				list = append(list, contextView{name, name == held.Current, held.Contexts[name]})
			}
			if len(list) == 0 && out.forPeople() {
				fmt.Fprintln(cmd.ErrOrStderr(), "there are no contexts: 'hanse context set --help' says how to make one")
			}
			return out.printNamed(cmd, list, held.names(), func(w io.Writer) { printContexts(w, list, out.wide()) })
		},
	}
	out.bind(cmd)
	return cmd
}

func printContexts(w io.Writer, list []contextView, wide bool) {
	if len(list) == 0 {
		return
	}
	head := []any{"IN USE", "NAME", "AS", "SERVERS"}
	if wide {
		head = append(head, "PIN")
	}
	row(w, head...)
	for _, c := range list {
		current := ""
		if c.Current {
			current = "*"
		}
		cells := []any{current, c.Name, c.as(), strings.Join(c.Servers, ",")}
		if wide {
			cells = append(cells, c.Pin)
		}
		row(w, cells...)
	}
}

// as says by what the operator is recognised.
func (c contextSpec) as() string {
	switch {
	case c.Socket != "":
		return "socket " + c.Socket
	case c.Certificate != "":
		return "certificate " + c.Certificate
	case c.BearerFile != "":
		return "token of " + c.BearerFile
	default:
		return "operator token of " + c.TokenFile
	}
}

func newContextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Use a context from now on", Example: "  hanse context use production",
		Args: oneArg("the context's name, see 'hanse context list'"), ValidArgsFunction: completeContexts,
		RunE: changeContext("is in use", func(held *contexts, name string) { held.Current = name }),
	}
}

func newContextSetCommand(opts *operatorOptions) *cobra.Command {
	return &cobra.Command{
		Use: "set NAME", Short: "Make a context, or replace it",
		Long: `Keeps how a federation is reached and as whom under a name. Give what is meant: --operator-token-file, --certificate with --key, --token-file,
or --socket; --server and --pin where an operator token does not say them. The files must stay where they are. The first context is in use
at once.`,
		Example: `  hanse context set production --operator-token-file ~/production.token
  hanse context set alice --certificate alice.pem --key alice.key --server n1.example.org:7701
  hanse context set here --socket /var/lib/hanse/server/admin.sock`,
		Args: oneArg("a name for the context"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := model.ValidateLabel("the context's name", args[0]); err != nil {
				return usageError("%w", err)
			}
			spec, err := opts.asContext()
			if err != nil {
				return err
			}
			held, err := loadContexts()
			if err != nil {
				return err
			}
			held.Contexts[args[0]] = spec
			if held.Current == "" {
				held.Current = args[0]
			}
			if err := held.save(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "context %s: %s\n", args[0], spec.as())
			return nil
		},
	}
}

// asContext turns the command's own flags into a context, and checks that it leads somewhere.
func (o *operatorOptions) asContext() (contextSpec, error) {
	spec := contextSpec{Servers: o.servers, Pin: o.pin}
	for _, f := range []struct {
		to   *string
		path string
	}{
		{&spec.TokenFile, o.tokenFile}, {&spec.BearerFile, o.bearerFile}, {&spec.Certificate, o.certificate}, {&spec.Key, o.key}, {&spec.Socket, o.socket},
	} {
		if f.path == "" {
			continue
		}
		path, err := filepath.Abs(f.path)
		if err != nil {
			return contextSpec{}, err
		}
		*f.to = path
	}
	switch {
	case spec.credential():
	case o.token != "":
		return contextSpec{}, usageError("--operator-token: a context names the token's file: put the token into one and give --operator-token-file")
	default:
		return contextSpec{}, usageError("say as whom: --operator-token-file, --certificate with --key, --token-file or --socket")
	}
	alone := operatorOptions{timeout: o.timeout, servers: o.servers, pin: o.pin,
		tokenFile: spec.TokenFile, bearerFile: spec.BearerFile, certificate: spec.Certificate, key: spec.Key, socket: spec.Socket}
	w, err := alone.find(contextSpec{})
	spec.Pin = fmt.Sprintf("%x", w.pin)
	return spec, err
}

func newContextDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Forget a context; its files stay", Example: "  hanse context delete production",
		Args: oneArg("the context's name, see 'hanse context list'"), ValidArgsFunction: completeContexts,
		RunE: changeContext("is forgotten", func(held *contexts, name string) {
			delete(held.Contexts, name)
			if held.Current == name {
				held.Current = ""
			}
		}),
	}
}

// changeContext changes the file on behalf of a context that stands in it, and says what the context is then.
func changeContext(then string, change func(held *contexts, name string)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		held, err := loadContexts()
		if err != nil {
			return err
		}
		if _, err := held.find(args[0]); err != nil {
			return err
		}
		change(&held, args[0])
		if err := held.save(); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "context %s %s\n", args[0], then)
		return nil
	}
}
