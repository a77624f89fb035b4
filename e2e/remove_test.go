//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// TestNodesThatAreRemovedCountForNoMajority kills two of five nodes for good and removes them: of the three that remain, one more may die.
func TestNodesThatAreRemovedCountForNoMajority(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	f := newFederation(t, ctx, 3, nil)
	for _, name := range []string{"n4", "n5"} {
		f.add(ctx, name)
	}
	leader := f.waitLeader(ctx)
	var gone, left []*node
	for _, n := range f.nodes {
		if n != leader && len(gone) < 2 {
			gone = append(gone, n)
		} else {
			left = append(left, n)
		}
	}
	if r, err := leader.api.do(ctx, http.MethodDelete, "/v1/nodes/"+gone[0].name, nil); err != nil || r.status != http.StatusConflict {
		t.Errorf("the removal of a node that lives: status %d: %s, %v", r.status, r.body, err)
	}
	for _, n := range gone {
		n.proc.kill()
	}
	for _, n := range gone {
		f.eventually(ctx, 30*time.Second, n.name+" is removed", func() error { return removed(ctx, leader, n.name) })
	}
	f.eventually(ctx, 30*time.Second, "the Raft group is without them", func() error {
		for _, n := range gone {
			if !leader.proc.said(t, `"node has left the raft group" node=`+n.name) {
				return fmt.Errorf("it says %s", leader.proc.tail())
			}
		}
		return nil
	})

	leader.proc.kill()
	f.nodes = slices.DeleteFunc(left, func(n *node) bool { return n == leader })
	next := f.waitLeader(ctx)
	document := rest.ExportRule{}
	document.Spec.From, document.Spec.Namespaces, document.Spec.To = []string{"*"}, []string{"*"}, []string{"*"}
	if r, err := next.api.do(ctx, http.MethodPut, "/v1/export-rules/all", document); err != nil || r.status != http.StatusOK {
		t.Errorf("a write among two of three: status %d: %s, %v", r.status, r.body, err)
	}
}

// add has a further node join.
func (f *federation) add(ctx context.Context, name string) {
	f.t.Helper()
	n := f.newNode(name, "r1")
	var err error
	if n.api, err = newAPI(n.rest, f.operator); err != nil {
		f.t.Fatal(err)
	}
	f.start(n, "--join", f.newToken(ctx, f.nodes[0], rest.NewToken{Kind: model.TokenNode}))
	f.waitReady(ctx, n)
	f.nodes = append(f.nodes, n)
}

func removed(ctx context.Context, leader *node, name string) error {
	r, err := leader.api.do(ctx, http.MethodDelete, "/v1/nodes/"+name, nil)
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return fmt.Errorf("status %d: %s", r.status, r.body)
	}
	return nil
}
