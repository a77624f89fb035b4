package main

import (
	"encoding/json"
	"strconv"
	"time"

	restapi "github.com/hanse-mesh/hanse/api/client"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// logKinds are what has happened.
func logKinds() []kind {
	return []kind{
		{
			name: "Event", plural: "events", short: []string{"ev"},
			list:    listing((*restapi.Client).ListEvents),
			filters: []string{"type", "kind", "name", "after"}, view: eventLayout().layout,
			after: func(raw json.RawMessage) (string, error) {
				e, err := decodeObject[rest.Event](raw)
				return strconv.FormatUint(e.Sequence, 10), err
			}},
		{
			name: "Audit", plural: "audit",
			list:    listing((*restapi.Client).ListAudit),
			filters: []string{"actor", "kind", "name", "after", "before"}, view: auditLayout().layout,
			after: func(raw json.RawMessage) (string, error) {
				e, err := decodeObject[model.AuditEntry](raw)
				return e.At.UTC().Format(time.RFC3339Nano), err
			}},
	}
}

func eventLayout() typedLayout[rest.Event] {
	return layoutOf(
		[]string{"AT", "EVENT", "ABOUT", "MESSAGE"}, []string{"SEQUENCE"},
		func(e rest.Event) string { return strconv.FormatUint(e.Sequence, 10) },
		oneRow(func(e rest.Event) []any {
			what := string(e.Type)
			if e.Phase != "" {
				what += " " + string(e.Phase)
			}
			return []any{timeText(e.At), what, e.Subject, e.Message, e.Sequence}
		}))
}

func auditLayout() typedLayout[model.AuditEntry] {
	return layoutOf(
		[]string{"INDEX", "AT", "WHO", "CHANGE", "OBJECT"}, []string{"CREDENTIAL", "FROM", "REQUEST"},
		func(e model.AuditEntry) string { return strconv.FormatUint(e.Index, 10) },
		oneRow(func(e model.AuditEntry) []any {
			return []any{e.Index, timeText(e.At), actorName(e.Actor), auditChange(e), e.Ref,
				e.Actor.Credential, e.Actor.Address, e.Actor.RequestID}
		}))
}

func auditChange(e model.AuditEntry) string {
	switch {
	case e.Before == nil:
		return "created"
	case e.After == nil:
		return "deleted"
	default:
		return "changed"
	}
}
