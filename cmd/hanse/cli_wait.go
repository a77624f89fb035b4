package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/federation/rest"
)

// waitOptions are the flags of "hanse wait".
type waitOptions struct {
	index   uint64
	cluster string
	limit   time.Duration
}

func newWaitCommand(opts *operatorOptions) *cobra.Command {
	var out output
	var o waitOptions
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until every connected proxy follows a change, or name those that do not",
		Long: `Waits until every connected proxy of every cluster has acknowledged a change of the federation's state: its Envoy has accepted all that
follows from it. Without --index, that is the newest change there is. A change that changes nothing for a proxy counts once the proxy's
agent has taken it in. Proxies that are not connected to their agent are not waited for; an agent that cannot be asked is.

When the time is over, those that have not acknowledged are named, with what their Envoys refuse, and the exit code is 7.`,
		Example: "  hanse apply -f policies.yaml && hanse wait\n  hanse wait --index 1234 --cluster eu --timeout 30s",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.limit <= 0 {
				return usageError("--timeout %s is not a time to wait: give for example 60s", o.limit)
			}
			c, err := opts.client()
			if err != nil {
				return err
			}
			a, err := o.wait(cmd.Context(), c)
			if err != nil {
				return err
			}
			if err := out.print(cmd, a, func(w io.Writer) { printAcknowledgement(w, a) }); err != nil {
				return err
			}
			if !a.Acknowledged {
				return codedError{exitDifferences, fmt.Errorf("not every proxy has acknowledged index %d within %s", a.Index, o.limit)}
			}
			return nil
		},
	}
	cmd.Flags().Uint64Var(&o.index, "index", 0, "Raft index of the change, as its write has answered (default: the newest)")
	cmd.Flags().StringVar(&o.cluster, "cluster", "", "wait for one cluster's proxies only")
	cmd.Flags().DurationVar(&o.limit, "timeout", time.Minute, "give up after this long")
	out.bind(cmd)
	return cmd
}

// waitPause is the time between two questions.
const waitPause = 250 * time.Millisecond

// wait asks until everybody follows or the time is over; then it returns what was answered last. Nodes that do not answer for a while, as
// during an election, end nothing but the time.
func (o waitOptions) wait(ctx context.Context, c *client) (rest.Acknowledgement, error) {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	defer c.tell("every proxy to follow")()
	var last rest.Acknowledgement
	answered := false
	index := o.index
	for {
		var a rest.Acknowledgement
		err := c.do(ctx, http.MethodGet, o.path(index), nil, &a)
		switch {
		case err == nil && a.Acknowledged:
			return a, nil
		case err == nil:
			// From here on it is that change, whatever comes after it.
			last, answered, index = a, true, a.Index
		case ctx.Err() == nil && !unavailable(err):
			return a, err
		}
		select {
		case <-c.clock.After(waitPause):
		case <-ctx.Done():
			if answered && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return last, nil
			}
			return a, codedError{exitUnavailable, fmt.Errorf("nobody has said who follows: %w", errors.Join(err, ctx.Err()))}
		}
	}
}

// path asks the leader for the newest index, and any node once the index is known.
func (o waitOptions) path(index uint64) string {
	q := url.Values{}
	if o.cluster != "" {
		q.Set("cluster", o.cluster)
	}
	if index == 0 {
		q.Set("consistent", "true")
	} else {
		q.Set("index", strconv.FormatUint(index, 10))
	}
	return "/v1/acknowledged?" + q.Encode()
}

// unavailable reports whether trying again may help.
func unavailable(err error) bool {
	var coded codedError
	return errors.As(err, &coded) && coded.code == exitUnavailable
}

func printAcknowledgement(w io.Writer, a rest.Acknowledgement) {
	proxies := 0
	for _, c := range a.Clusters {
		proxies += c.Proxies
	}
	if a.Acknowledged {
		fmt.Fprintf(w, "index %d is acknowledged by all %d connected proxies of %d clusters\n", a.Index, proxies, len(a.Clusters))
		return
	}
	fmt.Fprintf(w, "index %d is not acknowledged by:\n", a.Index)
	row(w, "CLUSTER", "PROXY", "ACKNOWLEDGED", "REASON")
	for _, c := range a.Clusters {
		switch {
		case c.Problem != "":
			row(w, c.Cluster, "", "", c.Problem)
		case !c.Acknowledged && len(c.Waiting) == 0:
			row(w, c.Cluster, "", c.Derived, fmt.Sprintf("the agent has derived its configuration from index %d, not from %d yet", c.Derived, a.Index))
		}
		for _, p := range c.Waiting {
			row(w, c.Cluster, p.Proxy, p.Index, p.Reason)
			for _, n := range p.Nacks[min(1, len(p.Nacks)):] {
				row(w, "", "", "", "and refuses: "+n.Reason)
			}
		}
		if c.More > 0 {
			row(w, c.Cluster, fmt.Sprintf("… and %d more", c.More), "", "")
		}
	}
}
