package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/policy"
)

// follow shows objects and then each change of them.
func (g *getOptions) follow(cmd *cobra.Command, c *client, w wanted) error {
	if len(w.names) > 1 {
		return usageError("--watch follows a kind, or one object of it, not several")
	}
	p := &changePrinter{to: cmd.OutOrStdout(), out: g.out, kinds: w.kinds}
	switch k := w.kinds[0]; {
	case k.logged:
		return g.followLog(cmd.Context(), c, w, p)
	case k.after != nil:
		return g.followJournal(cmd.Context(), c, k, p)
	default:
		return g.poll(cmd.Context(), c, w, p)
	}
}

// followLog shows what is written of the kinds.
func (g *getOptions) followLog(ctx context.Context, c *client, w wanted, p *changePrinter) error {
	matches, err := policy.ParseSelector(g.selector)
	if err != nil {
		return usageError("--selector: %w", err)
	}
	names := make([]string, len(w.kinds))
	for i, k := range w.kinds {
		names[i] = k.name
	}
	// An object that stops matching is shown as gone, one that never did not at all.
	shown := map[string]bool{}
	return c.watch(ctx, names, strings.Join(w.names, ""), func(e change) error {
		ref := e.Kind + "/" + e.Name
		switch e.Event {
		case eventBookmark:
			return p.pause()
		case eventGone:
			fmt.Fprintln(c.progress, "some changes were missed: what is there now follows")
			return nil
		case eventPut:
			if !matches.Matches(labelsOf(e.Object)) {
				e.Event, e.Object = eventDelete, nil
			}
		}
		if e.Event == eventDelete && !shown[ref] {
			return nil
		}
		shown[ref] = e.Event == eventPut
		if e.Event == eventPut {
			if e.Object, err = g.whole(ctx, c, e); err != nil {
				return err
			}
		}
		return p.see(e)
	})
}

// whole is what is shown of an object: for a live kind the API's view of it, of which the log holds a part. Whoever is gone by then is
// shown as it was written.
func (g *getOptions) whole(ctx context.Context, c *client, e change) (json.RawMessage, error) {
	found, err := findKinds(e.Kind)
	if err != nil || !found[0].live {
		return e.Object, err
	}
	items, err := g.read(ctx, c, found[0], []string{e.Name})
	if err != nil {
		return e.Object, ctx.Err()
	}
	return items[0], nil
}

func labelsOf(raw json.RawMessage) policy.Labels {
	var v struct {
		Labels policy.Labels `json:"labels"`
	}
	_ = json.Unmarshal(raw, &v)
	return v.Labels
}
