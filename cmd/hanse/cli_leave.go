package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
)

func newLeaveCommand(opts *operatorOptions) *cobra.Command {
	var d deleteOptions
	cmd := leaveCommand(opts, &d)
	cmd.Use, cmd.Example = "leave CLUSTER", "  hanse leave eu-west --dry-run\n  hanse leave eu-west --yes"
	cmd.Long += `

The command asks for the cluster's name first, unless it is given --yes.`
	cmd.Flags().BoolVarP(&d.yes, "yes", "y", false, "do not ask")
	return cmd
}

// newClusterRemoveCommand is "leave" for programs: it does not ask.
func newClusterRemoveCommand(opts *operatorOptions) *cobra.Command {
	d := deleteOptions{yes: true}
	cmd := leaveCommand(opts, &d)
	cmd.Use, cmd.Example = "remove NAME", "  hanse cluster remove eu-west\n  hanse cluster remove eu-west --dry-run"
	return cmd
}

func leaveCommand(opts *operatorOptions, d *deleteOptions) *cobra.Command {
	cmd := deleteOne(opts, d, model.KindCluster)
	cmd.Short = "End a cluster's membership: its services, bundle and agent stop counting at once"
	cmd.Long = `The other clusters stop calling the cluster's services, and believe its certificates no longer; its agent is refused. To come back it
needs a new token. Its own workloads go on calling each other. To stop calls without ending the membership, drain its gateways ('hanse
proxy drain') or take its export rules out.`
	return cmd
}

func leaveWarning(cluster string) string {
	return fmt.Sprintf("The membership of cluster %s ends: calls of its services from other clusters fail at once, and it needs a new token to come back.", cluster)
}

// confirm has the operator type a word. Where nobody can type, --yes is needed: a script must say that it means it.
func confirm(cmd *cobra.Command, warning, word string) error {
	if !canAsk(cmd.InOrStdin()) {
		return usageError("%s\n--yes is needed where nobody can be asked", warning)
	}
	return ask(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr(), warning, word)
}

func ask(ctx context.Context, in io.Reader, to io.Writer, warning, word string) error {
	fmt.Fprintf(to, "%s\nType %s to go on: ", warning, word)
	answer, err := readLine(ctx, in)
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != word {
		return errors.New("not confirmed: nothing was done")
	}
	return nil
}

// readLine reads a line, and gives up when ctx ends; the line that comes later is lost with the process.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
