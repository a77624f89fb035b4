package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// confirmWait is how long an operator waits for a confirmation to be sent. It is below adminTimeout.
const confirmWait = 5 * time.Second

// agentStatus is what an agent says of itself to this machine's operator.
type agentStatus struct {
	Cluster    model.ClusterName `json:"cluster"`
	Federation string            `json:"federation"`
	Instance   string            `json:"instance"`
	Connected  bool              `json:"connected"`
	// Node is the federation node of the current session, or of the last one.
	Node  string    `json:"node,omitempty"`
	Since time.Time `json:"since"`
	// Epoch and Seq are what this process has published last.
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	// SupersededBy is the process that publishes as this cluster instead of this one.
	SupersededBy string         `json:"supersededBy,omitempty"`
	LastError    string         `json:"lastError,omitempty"`
	Imports      []importStatus `json:"imports"`
}

func (a *agentParts) agentStatus() agentStatus {
	s := a.uplink.Stats()
	return agentStatus{
		Cluster: a.member.Cluster, Federation: a.member.Federation, Instance: a.instance, Connected: s.Connected, Node: s.Node, Since: s.Since,
		Epoch: s.Version.Epoch, Seq: s.Version.Seq, SupersededBy: s.SupersededBy, LastError: s.LastError, Imports: a.core.importing(a.clock.Now()),
	}
}

// notes say what an operator should know of an agent that is ready.
func (a *agentParts) notes() []string {
	var out []string
	if by := a.uplink.Stats().SupersededBy; by != "" {
		out = append(out, supersededText(a.member.Cluster, a.instance, by))
	}
	if a.kube != nil {
		out = append(out, a.kube.notes()...)
	}
	return out
}

func supersededText(cluster model.ClusterName, own, other string) string {
	return "another agent publishes as cluster " + string(cluster) + " (instance " + other + ", this one is " + own +
		"): this one imports only; stop one of them"
}

// confirmRemovals tells the federation that what this cluster has withdrawn is meant to be gone.
func (a *agentParts) confirmRemovals(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), confirmWait)
	defer cancel()
	err := a.uplink.ConfirmRemovals(ctx)
	switch s := a.uplink.Stats(); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, context.DeadlineExceeded) && s.SupersededBy != "":
		http.Error(w, supersededText(a.member.Cluster, a.instance, s.SupersededBy), http.StatusConflict)
	case errors.Is(err, context.DeadlineExceeded):
		http.Error(w, "there is no session with the federation at the moment ("+s.LastError+"); the confirmation is sent with the next one", http.StatusServiceUnavailable)
	default:
		http.Error(w, err.Error(), http.StatusConflict)
	}
}
