package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/token"
)

// newInitCommand is "server init" where a newcomer looks for it.
func newInitCommand() *cobra.Command {
	cmd := newServerInitCommand()
	cmd.Short = "Make a new federation, with this machine as its first node (the same as 'hanse server init')"
	cmd.Example = strings.ReplaceAll(cmd.Example, "hanse server init", "hanse init")
	return cmd
}

// joining is the command that a token is good for.
type joining struct {
	Kind    string   `json:"kind"`
	Of      string   `json:"of"`
	Command []string `json:"command"`
	// Missing are flags whose values only the operator knows.
	Missing []string `json:"missing,omitempty"`
}

func newJoinCommand() *cobra.Command {
	var out output
	var run bool
	var name, region, dataDir string
	cmd := &cobra.Command{
		Use:   "join TOKEN [-- FLAG...]",
		Short: "Let this machine join a federation by the token that it was given",
		Long: `Reads a token, of which there is one kind for each role, and says which command joins with it: 'hanse server --join' for a node,
'hanse agent --token' for a cluster or site, 'hanse proxy --token' for a workload. With --run it becomes that command. What stands after
"--" are further flags of it. The token may be given as "-" and is then read from standard input, where other users of the machine do
not see it.

Make tokens with 'hanse token create'.`,
		Example: `  hanse join hanse-node-1.… --name n2 --region us
  hanse join - --name eu --region eu --run < eu.token`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case len(args) == 0 || dash == 0:
				return usageError("%s needs the token that 'hanse token create' showed", cmd.CommandPath())
			case len(args) > 1 && dash != 1:
				return usageError("%s takes one token, but got %d; further flags of the role stand after --", cmd.CommandPath(), len(args))
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := planJoin(cmd.InOrStdin(), args[0], name, region, dataDir)
			if err != nil {
				return err
			}
			j.Command = append(j.Command, args[1:]...)
			j.Missing = slices.DeleteFunc(j.Missing, func(flag string) bool { return slices.Contains(args, flag) })
			if !run {
				return out.print(cmd, j, j.explain)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "joining %s as hanse %s\n", j.Of, j.Command[0])
			return becomeCommand(cmd, j.Command)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&run, "run", false, "run the command instead of showing it")
	f.StringVar(&name, "name", "", "name of the node, cluster or workload")
	f.StringVar(&region, "region", "", "region in which it stands; for a workload its locality REGION/ZONE")
	f.StringVar(&dataDir, "data-dir", "", "folder for its identity and state (default: the role's own)")
	out.bind(cmd)
	return cmd
}

// planJoin reads the token and finds the command that it is for.
func planJoin(stdin io.Reader, text, name, region, dataDir string) (joining, error) {
	if text == "-" {
		data, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
		if err != nil {
			return joining{}, usageError("read token: %w", err)
		}
		text = strings.TrimSpace(string(data))
	}
	t, err := token.Parse(text)
	if err != nil {
		return joining{}, usageError("token: %w", err)
	}
	j := joining{Kind: string(t.Kind), Of: t.Issuer}
	switch t.Kind {
	case model.TokenNode:
		j.Command = []string{"server", "--join", text}
		j.add("--name", cmp.Or(name, hostLabel()))
		j.add("--region", region)
	case model.TokenCluster:
		j.Command = []string{"agent", "--token", text}
		j.add("--cluster", name)
		j.add("--region", region)
	case token.Workload:
		j.Command = []string{"proxy", "--token", text}
		j.add("--name", cmp.Or(name, hostLabel()))
		j.add("--locality", region)
	default:
		return joining{}, usageError("an operator's token joins nothing: use it with 'hanse context set NAME --operator-token-file FILE'")
	}
	if dataDir != "" {
		j.add("--data-dir", dataDir)
	}
	return j, nil
}

// add sets a flag; one without a value is left to the operator.
func (j *joining) add(flag, value string) {
	if value == "" {
		j.Missing = append(j.Missing, flag)
		return
	}
	j.Command = append(j.Command, flag, value)
}

// explain shows the command as it can be typed.
func (j joining) explain(w io.Writer) {
	words := []string{"hanse"}
	for _, c := range j.Command {
		words = append(words, quoted(c))
	}
	for _, flag := range j.Missing {
		words = append(words, flag, strings.ToUpper(strings.TrimPrefix(flag, "--")))
	}
	fmt.Fprintf(w, "This is a %s token of %s. Join with it by:\n\n  %s\n", j.Kind, j.Of, strings.Join(words, " "))
	if len(j.Missing) > 0 {
		fmt.Fprintf(w, "\nStill to be filled in: %s.\n", strings.Join(j.Missing, ", "))
	}
	fmt.Fprintf(w, "\n'hanse %s --help' explains its other flags.\n", j.Command[0])
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.,:/@%+"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func hostLabel() string {
	host, _ := os.Hostname()
	return firstLabel(host)
}

// becomeCommand runs another command line in this process, with the same streams.
func becomeCommand(cmd *cobra.Command, args []string) error {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(cmd.InOrStdin())
	root.SetOut(cmd.OutOrStdout())
	root.SetErr(cmd.ErrOrStderr())
	return root.ExecuteContext(cmd.Context())
}
