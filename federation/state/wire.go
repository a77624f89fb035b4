package state

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// MaxEntry bounds a marshalled entry, in bytes: a larger one would delay the heartbeats that share its connection.
const MaxEntry = 512 << 10

// MarshalEntry encodes an entry for the log. It refuses what UnmarshalEntry would not read, as an entry that is in the log but cannot
// be read stops every node.
func MarshalEntry(e Entry) ([]byte, error) {
	p := &hansev1.Command{Version: e.Version, At: timestamppb.New(e.At), Actor: codec.ActorToProto(e.Actor)}
	for _, x := range e.Expect {
		p.Expect = append(p.Expect, &hansev1.Expectation{Kind: x.Kind, Name: x.Name, Index: x.Index})
	}
	if err := setCommand(p, e.Command); err != nil {
		return nil, err
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return nil, refuse(Invalid, "command cannot be encoded: %v", err)
	}
	if _, err := UnmarshalEntry(data); err != nil {
		return nil, refuse(Invalid, "%v", err)
	}
	return data, nil
}

// UnmarshalEntry decodes an entry of the log.
func UnmarshalEntry(data []byte) (Entry, error) {
	if len(data) > MaxEntry {
		return Entry{}, fmt.Errorf("command has %d bytes, more than the %d allowed", len(data), MaxEntry)
	}
	var p hansev1.Command
	if err := proto.Unmarshal(data, &p); err != nil {
		return Entry{}, fmt.Errorf("decode command: %w", err)
	}
	if p.GetVersion() > model.CommandVersion {
		return Entry{}, fmt.Errorf("command needs version %d, this build knows %d: upgrade this node", p.GetVersion(), model.CommandVersion)
	}
	if err := p.GetAt().CheckValid(); err != nil {
		return Entry{}, fmt.Errorf("command time: %w", err)
	}
	c, err := commandOf(&p)
	if err != nil {
		return Entry{}, fmt.Errorf("decode command: %w", err)
	}
	e := Entry{Version: p.GetVersion(), At: p.GetAt().AsTime(), Command: c, Actor: codec.ActorFromProto(p.GetActor())}
	for _, x := range p.GetExpect() {
		e.Expect = append(e.Expect, Expectation{Ref: model.Ref{Kind: x.GetKind(), Name: x.GetName()}, Index: x.GetIndex()})
	}
	return e, nil
}

func setCommand(p *hansev1.Command, command Command) error {
	switch c := command.(type) {
	case InitFederation:
		p.Command = &hansev1.Command_InitFederation{InitFederation: &hansev1.InitFederation{
			Name: c.Name, Root: c.Root, Node: codec.NodeToProto(c.Node), OperatorToken: codec.TokenToProto(c.OperatorToken),
		}}
	case PutNode:
		p.Command = &hansev1.Command_PutNode{PutNode: &hansev1.PutNode{Node: codec.NodeToProto(c.Node)}}
	case RemoveNode:
		p.Command = &hansev1.Command_RemoveNode{RemoveNode: &hansev1.RemoveNode{Name: c.Name}}
	case CreateToken:
		p.Command = &hansev1.Command_CreateToken{CreateToken: &hansev1.CreateToken{Token: codec.TokenToProto(c.Token)}}
	case RevokeToken:
		p.Command = &hansev1.Command_RevokeToken{RevokeToken: &hansev1.RevokeToken{Id: c.ID}}
	case RedeemNodeToken:
		p.Command = &hansev1.Command_RedeemNodeToken{RedeemNodeToken: &hansev1.RedeemNodeToken{
			TokenId: c.TokenID, SecretHash: c.SecretHash, KeyHash: c.KeyHash, Node: codec.NodeToProto(c.Node),
		}}
	case JoinCluster:
		p.Command = &hansev1.Command_JoinCluster{JoinCluster: &hansev1.JoinCluster{
			TokenId: c.TokenID, SecretHash: c.SecretHash, Cluster: string(c.Cluster), TrustDomain: c.TrustDomain, AgentKey: c.AgentKey, Region: c.Region,
		}}
	case RemoveCluster:
		p.Command = &hansev1.Command_RemoveCluster{RemoveCluster: &hansev1.RemoveCluster{Name: string(c.Name)}}
	case PutBundle:
		p.Command = &hansev1.Command_PutBundle{PutBundle: &hansev1.PutBundle{
			Cluster: string(c.Cluster), Bundle: codec.SignedBundleToProto(c.Bundle),
		}}
	case PutPolicy:
		p.Command = &hansev1.Command_PutPolicy{PutPolicy: &hansev1.PutPolicy{
			Policy: &hansev1.Policy{Kind: c.Kind, Name: c.Name, Json: c.JSON},
		}}
	case DeletePolicy:
		p.Command = &hansev1.Command_DeletePolicy{DeletePolicy: &hansev1.DeletePolicy{Kind: c.Kind, Name: c.Name}}
	case ApplyPolicies:
		set := &hansev1.ApplyPolicies{}
		for _, d := range c.Put {
			set.Put = append(set.Put, &hansev1.Policy{Kind: d.Kind, Name: d.Name, Json: d.JSON})
		}
		for _, d := range c.Delete {
			set.Delete = append(set.Delete, &hansev1.DeletePolicy{Kind: d.Kind, Name: d.Name})
		}
		p.Command = &hansev1.Command_ApplyPolicies{ApplyPolicies: set}
	case RecordDeed:
		p.Command = &hansev1.Command_RecordDeed{RecordDeed: &hansev1.RecordDeed{Kind: c.Ref.Kind, Name: c.Ref.Name, Before: c.Before, After: c.After}}
	default:
		return refuse(Invalid, "command %T has no wire form", command)
	}
	return nil
}

func commandOf(p *hansev1.Command) (Command, error) {
	switch c := p.GetCommand().(type) {
	case *hansev1.Command_InitFederation:
		return initFromProto(c.InitFederation)
	case *hansev1.Command_PutNode:
		n, err := codec.NodeFromProto(c.PutNode.GetNode())
		return PutNode{Node: n}, err
	case *hansev1.Command_RemoveNode:
		return RemoveNode{Name: c.RemoveNode.GetName()}, nil
	case *hansev1.Command_CreateToken:
		t, err := codec.TokenFromProto(c.CreateToken.GetToken())
		return CreateToken{Token: t}, err
	case *hansev1.Command_RevokeToken:
		return RevokeToken{ID: c.RevokeToken.GetId()}, nil
	case *hansev1.Command_RedeemNodeToken:
		r := c.RedeemNodeToken
		n, err := codec.NodeFromProto(r.GetNode())
		return RedeemNodeToken{TokenID: r.GetTokenId(), SecretHash: r.GetSecretHash(), KeyHash: r.GetKeyHash(), Node: n}, err
	case *hansev1.Command_JoinCluster:
		j := c.JoinCluster
		return JoinCluster{
			TokenID: j.GetTokenId(), SecretHash: j.GetSecretHash(), Cluster: model.ClusterName(j.GetCluster()),
			TrustDomain: j.GetTrustDomain(), AgentKey: j.GetAgentKey(), Region: j.GetRegion(),
		}, nil
	case *hansev1.Command_RemoveCluster:
		return RemoveCluster{Name: model.ClusterName(c.RemoveCluster.GetName())}, nil
	case *hansev1.Command_PutBundle:
		b, err := codec.SignedBundleFromProto(c.PutBundle.GetBundle())
		return PutBundle{Cluster: model.ClusterName(c.PutBundle.GetCluster()), Bundle: b}, err
	case *hansev1.Command_PutPolicy:
		d := c.PutPolicy.GetPolicy()
		return PutPolicy{Kind: d.GetKind(), Name: d.GetName(), JSON: d.GetJson()}, nil
	case *hansev1.Command_DeletePolicy:
		return DeletePolicy{Kind: c.DeletePolicy.GetKind(), Name: c.DeletePolicy.GetName()}, nil
	case *hansev1.Command_ApplyPolicies:
		var set ApplyPolicies
		for _, d := range c.ApplyPolicies.GetPut() {
			set.Put = append(set.Put, PutPolicy{Kind: d.GetKind(), Name: d.GetName(), JSON: d.GetJson()})
		}
		for _, d := range c.ApplyPolicies.GetDelete() {
			set.Delete = append(set.Delete, DeletePolicy{Kind: d.GetKind(), Name: d.GetName()})
		}
		return set, nil
	case *hansev1.Command_RecordDeed:
		d := c.RecordDeed
		return RecordDeed{Ref: model.Ref{Kind: d.GetKind(), Name: d.GetName()}, Before: d.GetBefore(), After: d.GetAfter()}, nil
	default:
		return nil, errors.New("this build does not know it: upgrade this node")
	}
}

func initFromProto(p *hansev1.InitFederation) (Command, error) {
	n, err := codec.NodeFromProto(p.GetNode())
	if err != nil {
		return nil, err
	}
	t, err := codec.TokenFromProto(p.GetOperatorToken())
	if err != nil {
		return nil, err
	}
	return InitFederation{Name: p.GetName(), Root: p.GetRoot(), Node: n, OperatorToken: t}, nil
}
