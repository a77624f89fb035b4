package gossip

import (
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/spread"
)

// Bounds on the haves that are taken from outside, and on a digest's length.
const (
	maxHello  = 50_000
	maxHaves  = 5_000
	maxDigest = 32
)

func haveToProto(h spread.Have) *hansev1.Have {
	out := &hansev1.Have{Origin: string(h.Origin), Version: codec.VersionToProto(h.Version), Digest: h.Digest}
	if !h.ProducedAt.IsZero() {
		out.ProducedAt = timestamppb.New(h.ProducedAt)
	}
	return out
}

func havesToProto(haves []spread.Have) []*hansev1.Have {
	out := make([]*hansev1.Have, len(haves))
	for i, h := range haves {
		out[i] = haveToProto(h)
	}
	return out
}

// havesFromProto decodes haves from outside. Those that are malformed are left out and counted: they are their origin's affair.
func havesFromProto(haves []*hansev1.Have, most int) (out []spread.Have, malformed int, err error) {
	if len(haves) > most {
		return nil, 0, fmt.Errorf("%d haves at once, more than %d", len(haves), most)
	}
	for _, p := range haves {
		name, err := model.ParseClusterName(p.GetOrigin())
		h := spread.Have{Origin: name, Version: codec.VersionFromProto(p.GetVersion()), Digest: p.GetDigest()}
		if err != nil || h.Version.Validate() != nil || len(h.Digest) > maxDigest {
			malformed++
			continue
		}
		if at := p.GetProducedAt(); at.IsValid() {
			h.ProducedAt = at.AsTime()
		}
		out = append(out, h)
	}
	return out, malformed, nil
}

// requestFromProto decodes what a follower asks after its hello.
func requestFromProto(p *hansev1.SyncRequest) (spread.Request, error) {
	name, prune := p.GetPull().GetOrigin(), false
	if p.GetPrune() != nil {
		name, prune = p.GetPrune().GetOrigin(), true
	}
	origin, err := model.ParseClusterName(name)
	if err != nil {
		return spread.Request{}, fmt.Errorf("after the hello a sync stream has pulls and prunes only: %w", err)
	}
	return spread.Request{Origin: origin, Version: codec.VersionFromProto(p.GetPull().GetVersion()), Prune: prune}, nil
}

func requestToProto(r spread.Request) *hansev1.SyncRequest {
	if r.Prune {
		return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Prune{Prune: &hansev1.Prune{Origin: string(r.Origin)}}}
	}
	pull := haveToProto(spread.Have{Origin: r.Origin, Version: r.Version})
	return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Pull{Pull: pull}}
}

func messageToProto(m spread.Message) *hansev1.SyncResponse {
	if m.Batch != nil {
		return &hansev1.SyncResponse{Message: &hansev1.SyncResponse_Batch{Batch: codec.BatchToProto(*m.Batch)}}
	}
	return &hansev1.SyncResponse{Message: &hansev1.SyncResponse_Haves{Haves: &hansev1.Haves{Have: havesToProto(m.Haves)}}}
}
