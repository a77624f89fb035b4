package state

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// Proto encodes the view in a fixed order, so that equal states have equal bytes. Tokens, access rules and the audit log are
// for snapshots only, as are labels: agents are told the state without them, in a form that older ones can read.
func (v *View) Proto(withSecrets bool) *hansev1.State {
	p := &hansev1.State{Index: v.Index, Federation: v.Federation, Root: v.Root, Version: v.CommandVersion()}
	for _, n := range v.NodeList() {
		p.Nodes = append(p.Nodes, codec.NodeToProto(n))
	}
	for _, c := range v.ClusterList() {
		p.Clusters = append(p.Clusters, codec.ClusterToProto(c))
		if b, ok := v.Bundles[c.TrustDomain]; ok {
			p.Bundles = append(p.Bundles, codec.SignedBundleToProto(b))
		}
	}
	for _, f := range v.FailoverList() {
		if !withSecrets {
			f.Labels = nil
		}
		p.Policies = append(p.Policies, v.policyProto(policy.KindFailoverPolicy, f.Name, encode(f)))
	}
	for _, e := range v.ExportList() {
		if !withSecrets {
			e.Labels = nil
		}
		p.Policies = append(p.Policies, v.policyProto(policy.KindExportRule, e.Name, encode(e)))
	}
	for _, i := range v.ImportList() {
		if !withSecrets {
			i.Labels = nil
		}
		p.Policies = append(p.Policies, v.policyProto(policy.KindImportRule, i.Name, encode(i)))
	}
	if withSecrets {
		v.addSecrets(p)
	}
	return p
}

// ProtoFor is Proto for an agent that speaks a protocol: one that knows no import rules could not read a state that has some. It is told of
// what it takes all the same.
func (v *View) ProtoFor(protocol uint32) *hansev1.State {
	if protocol >= model.ImportRuleProtocol || len(v.Imports) == 0 {
		return v.Proto(false)
	}
	old := *v
	old.Imports = nil
	return old.Proto(false)
}

// addSecrets adds what is for the nodes alone.
func (v *View) addSecrets(p *hansev1.State) {
	for _, t := range v.TokenList() {
		p.Tokens = append(p.Tokens, codec.TokenToProto(t))
	}
	for _, b := range v.BindingList() {
		p.Policies = append(p.Policies, v.policyProto(policy.KindRoleBinding, b.Name, encode(b)))
	}
	for _, i := range v.ProviderList() {
		p.Policies = append(p.Policies, v.policyProto(policy.KindIdentityProvider, i.Name, encode(i)))
	}
	for _, ref := range slices.SortedFunc(maps.Keys(v.Modified), model.Ref.Compare) {
		p.Modified = append(p.Modified, &hansev1.Modified{Kind: ref.Kind, Name: ref.Name, Index: v.Modified[ref]})
	}
	for _, e := range v.audit {
		p.Audit = append(p.Audit, codec.AuditToProto(e))
	}
}

func (v *View) policyProto(kind policy.Kind, name string, json []byte) *hansev1.Policy {
	return &hansev1.Policy{Kind: string(kind), Name: name, Json: json, ModifiedIndex: v.Modified[model.Ref{Kind: string(kind), Name: name}]}
}

// Snapshot encodes everything that Restore needs; equal states have equal snapshots.
func (v *View) Snapshot() ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(v.Proto(true))
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return data, nil
}

// FromSnapshot decodes a snapshot. It refuses one that needs a newer command version, as parts of it would be lost.
func FromSnapshot(data []byte) (*View, error) {
	var p hansev1.State
	if err := proto.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("decode state: %w", err)
	}
	if p.GetVersion() > model.CommandVersion {
		return nil, fmt.Errorf("state needs command version %d, this build knows %d: upgrade this node", p.GetVersion(), model.CommandVersion)
	}
	return ViewFromProto(&p)
}

// ViewFromProto decodes a state. Fields that only newer builds know are lost: whoever will write the state on uses FromSnapshot.
func ViewFromProto(p *hansev1.State) (*View, error) {
	s := New(nil)
	s.view.Index, s.view.Federation, s.view.Root = p.GetIndex(), p.GetFederation(), p.GetRoot()
	for _, e := range p.GetNodes() {
		n, err := codec.NodeFromProto(e)
		if err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		s.view.Nodes[n.Name] = n
	}
	for _, e := range p.GetTokens() {
		t, err := codec.TokenFromProto(e)
		if err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		s.view.Tokens[t.ID] = t
	}
	if err := s.readClusters(p); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	for _, e := range p.GetPolicies() {
		if _, err := s.putPolicy(PutPolicy{Kind: e.GetKind(), Name: e.GetName(), JSON: e.GetJson()}); err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		s.view.Modified[model.Ref{Kind: e.GetKind(), Name: e.GetName()}] = e.GetModifiedIndex()
	}
	for _, m := range p.GetModified() {
		s.view.Modified[model.Ref{Kind: m.GetKind(), Name: m.GetName()}] = m.GetIndex()
	}
	for _, e := range p.GetAudit() {
		entry, err := codec.AuditFromProto(e)
		if err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		s.audit(entry)
	}
	// What happened before the snapshot is not known.
	s.view.forgotten = s.view.Index
	return s.View(), nil
}

func (s *State) readClusters(p *hansev1.State) error {
	for _, e := range p.GetClusters() {
		c, err := codec.ClusterFromProto(e)
		if err != nil {
			return err
		}
		s.view.Clusters[c.Name] = c
	}
	for _, e := range p.GetBundles() {
		b, err := codec.SignedBundleFromProto(e)
		if err != nil {
			return err
		}
		content, err := codec.UnmarshalBundle(b.Statement)
		if err != nil {
			return err
		}
		s.view.Bundles[content.TrustDomain] = b
	}
	return nil
}
