package rest_test

import (
	"net/http"
	"testing"

	"github.com/hanse-mesh/hanse/federation/rest"
)

func TestAllAgentsAreAskedWhoFollows(t *testing.T) {
	g := newGroup(t)
	joined(g, "asia", 1)
	joined(g, "eu", 2)
	joined(g, "us", 3)
	g.live.alive = map[string]bool{"lead": true, "follow": true}
	g.agents["lead"].answers = map[string]string{
		"asia acknowledged": `{"known":9,"derived":9,"proxies":2,"waiting":[{"proxy":"web","index":3,"reason":"no","nacks":[{"typeUrl":"t","reason":"bad","at":"2026-03-01T12:00:00Z"}]}]}`,
	}
	g.agents["follow"].answers = map[string]string{"eu acknowledged": `{"known":9,"derived":9,"proxies":4}`}
	var got rest.Acknowledgement
	g.do("lead", http.MethodGet, "/v1/acknowledged?index=9", "").ok(http.StatusOK, &got)
	if got.Index != 9 || got.Acknowledged || len(got.Clusters) != 3 {
		t.Fatalf("got %+v", got)
	}
	asia, eu, us := got.Clusters[0], got.Clusters[1], got.Clusters[2]
	if asia.Acknowledged || len(asia.Waiting) != 1 || asia.Waiting[0].Nacks[0].Reason != "bad" {
		t.Errorf("asia: %+v", asia)
	}
	if !eu.Acknowledged || eu.Proxies != 4 || eu.Problem != "" {
		t.Errorf("eu: %+v", eu)
	}
	if us.Acknowledged || us.Problem == "" {
		t.Errorf("us, whose agent is connected nowhere: %+v", us)
	}
	// An agent that lags behind the change has acknowledged nothing, even if nobody waits.
	g.do("lead", http.MethodGet, "/v1/acknowledged?index=10&cluster=eu", "").ok(http.StatusOK, &got)
	if len(got.Clusters) != 1 || got.Acknowledged {
		t.Errorf("eu at 10: %+v", got)
	}
	g.do("lead", http.MethodGet, "/v1/acknowledged?index=9&cluster=eu", "").ok(http.StatusOK, &got)
	if !got.Acknowledged {
		t.Errorf("eu at 9: %+v", got)
	}
	g.do("lead", http.MethodGet, "/v1/acknowledged?cluster=xx", "").problem(http.StatusNotFound, "no cluster xx")
	g.do("follow", http.MethodGet, "/v1/acknowledged?consistent=true&cluster=eu", "").ok(http.StatusOK, &got)
	if got.Index != g.state.View().Index || g.barriers != 1 {
		t.Errorf("the newest index is %d, asked after %d barriers about %d", g.state.View().Index, g.barriers, got.Index)
	}
}
