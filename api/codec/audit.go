package codec

import (
	"fmt"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// ActorToProto encodes an actor; the federation itself is nil.
func ActorToProto(a model.Actor) *hansev1.Actor {
	if a == (model.Actor{}) {
		return nil
	}
	return &hansev1.Actor{Name: a.Name, Credential: a.Credential, Address: a.Address, RequestId: a.RequestID}
}

// ActorFromProto decodes an actor.
func ActorFromProto(p *hansev1.Actor) model.Actor {
	return model.Actor{Name: p.GetName(), Credential: p.GetCredential(), Address: p.GetAddress(), RequestID: p.GetRequestId()}
}

// AuditToProto encodes an entry of the audit log.
func AuditToProto(e model.AuditEntry) *hansev1.AuditEntry {
	return &hansev1.AuditEntry{
		Index: e.Index, At: timeToProto(e.At), Actor: ActorToProto(e.Actor), Kind: e.Kind, Name: e.Name, Before: e.Before, After: e.After,
	}
}

// AuditFromProto decodes an entry of the audit log.
func AuditFromProto(p *hansev1.AuditEntry) (model.AuditEntry, error) {
	e := model.AuditEntry{
		Index: p.GetIndex(), Actor: ActorFromProto(p.GetActor()), Ref: model.Ref{Kind: p.GetKind(), Name: p.GetName()},
		Before: p.GetBefore(), After: p.GetAfter(),
	}
	var err error
	if e.At, err = timeFromProto("at", p.GetAt()); err != nil {
		return model.AuditEntry{}, fmt.Errorf("audit entry of index %d: %w", e.Index, err)
	}
	return e, nil
}
