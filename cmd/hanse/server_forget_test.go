package main

import (
	"context"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

func TestOnlyWhoWasAMemberIsForgotten(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	members := func(names ...model.ClusterName) *state.View {
		v := &state.View{Clusters: map[model.ClusterName]model.Cluster{}}
		for _, n := range names {
			v.Clusters[n] = model.Cluster{Name: n}
		}
		return v
	}
	views := []*state.View{members("eu", "us"), members("eu", "us", "ap"), members("us", "ap"), members("us", "ap")}
	watch := func() (*state.View, <-chan struct{}) {
		changed := make(chan struct{})
		v := views[0]
		if len(views) > 1 {
			views = views[1:]
			close(changed)
		}
		return v, changed
	}
	forgotten := make(chan model.ClusterName, 10)
	done := make(chan error, 1)
	go func() { done <- forgetRemoved(ctx, watch, func(n model.ClusterName) { forgotten <- n }) }()
	select {
	case n := <-forgotten:
		if n != "eu" {
			t.Errorf("%s was forgotten, want eu", n)
		}
	case <-ctx.Done():
		t.Fatal("nobody was forgotten")
	}
	cancel()
	<-done
	if len(forgotten) > 0 {
		t.Errorf("%s was forgotten too", <-forgotten)
	}
}
