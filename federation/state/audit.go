package state

import (
	"encoding/json"
	"fmt"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// maxAudit and maxAuditBytes bound the audit log that the state holds; the oldest entries go first.
	maxAudit      = 10_000
	maxAuditBytes = 8 << 20
	// maxAuditObject bounds an object in the audit log, in bytes of JSON.
	maxAuditObject = 8 << 10
)

// Audit returns the log of writes, oldest first. Only writes that name an actor stand in it.
func (v *View) Audit() []model.AuditEntry { return v.audit[:len(v.audit):len(v.audit)] }

// audit appends an entry; as with changes, what stands is never written again.
func (s *State) audit(e model.AuditEntry) {
	e.Before, e.After = bounded(e.Before), bounded(e.After)
	s.view.audit = append(s.view.audit, e)
	s.auditBytes += auditSize(e)
	gone := 0
	for len(s.view.audit)-gone > maxAudit || s.auditBytes > maxAuditBytes {
		s.auditBytes -= auditSize(s.view.audit[gone])
		gone++
	}
	s.view.audit = s.view.audit[gone:]
}

// maxDeedName bounds the name in a RecordDeed, in bytes.
const maxDeedName = 256

func (s *State) recordDeed(index uint64, e Entry, c RecordDeed) (bool, error) {
	switch {
	case c.Ref.Kind != model.KindWorkload && c.Ref.Kind != model.KindOperatorCertificate:
		return false, refuse(Invalid, "kind %.40q is not one whose changes are recorded alone", c.Ref.Kind)
	case c.Ref.Name == "" || len(c.Ref.Name) > maxDeedName:
		return false, refuse(Invalid, "%s: the name has %d bytes, not 1 to %d", c.Ref.Kind, len(c.Ref.Name), maxDeedName)
	case e.Actor == (model.Actor{}):
		return false, refuse(Invalid, "%s: nobody is named who did it", c.Ref)
	case !isJSON(c.Before) || !isJSON(c.After):
		return false, refuse(Invalid, "%s: before or after is not JSON", c.Ref)
	}
	s.audit(model.AuditEntry{Index: index, At: e.At, Actor: e.Actor, Ref: c.Ref, Before: c.Before, After: c.After})
	return true, nil
}

// isJSON takes nothing for JSON, too.
func isJSON(object json.RawMessage) bool { return len(object) == 0 || json.Valid(object) }

func auditSize(e model.AuditEntry) int {
	const rest = 64
	return rest + len(e.Before) + len(e.After) + len(e.Kind) + len(e.Name) + len(e.Actor.Name) + len(e.Actor.Credential) + len(e.Actor.Address) + len(e.Actor.RequestID)
}

// bounded leaves out an object that is too large for the audit log, and says so in its place.
func bounded(object json.RawMessage) json.RawMessage {
	if len(object) <= maxAuditObject {
		return object
	}
	return encode(fmt.Sprintf("left out: %d bytes", len(object)))
}
