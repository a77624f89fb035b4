package main

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/trust/token"
)

// adminHandler serves the agent's own socket: whoever may use it is this machine's operator.
func (a *agentParts) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/workload-tokens", a.mintWorkloadToken)
	mux.HandleFunc("GET /v1/workload-tokens", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.site.Tokens()) })
	mux.HandleFunc("GET /v1/vips", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.core.virtualAddresses()) })
	mux.HandleFunc("GET /v1/gateways", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.core.gateways()) })
	mux.HandleFunc("GET /v1/explain", a.explainHere)
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.agentStatus()) })
	mux.HandleFunc("POST /v1/confirm-removals", a.confirmRemovals)
	mux.HandleFunc("GET /v1/bundles", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.core.believed()) })
	mux.HandleFunc("DELETE /v1/bundles/{domain}", func(w http.ResponseWriter, r *http.Request) {
		if err := a.core.forgetBundle(r.PathValue("domain")); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (a *agentParts) mintWorkloadToken(w http.ResponseWriter, r *http.Request) {
	var req workloadTokenRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&req); err != nil {
		http.Error(w, "the request is not valid JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	ttl, err := time.ParseDuration(req.TTL)
	if err != nil {
		http.Error(w, "ttl: "+err.Error(), http.StatusBadRequest)
		return
	}
	id, secret, err := a.site.Mint(vm.TokenSpec{
		Namespace: req.Namespace, ServiceAccount: req.ServiceAccount, Services: req.Services, Gateway: req.Gateway, Uses: req.Uses, TTL: ttl,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	t := token.Token{
		Kind: token.Workload, ID: id, Secret: secret, Issuer: string(a.member.Cluster),
		Pin: pinOf(a.authority.Root()), Addresses: []string{a.siteAddress},
	}
	writeJSON(w, workloadTokenAnswer{ID: id, Text: t.String()})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
