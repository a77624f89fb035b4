package rest

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
)

// Written answers a write.
type Written struct {
	// Index is the Raft index at which the object is as it was asked for.
	Index uint64 `json:"index" doc:"The Raft index at which the object is as asked for"`
	// Changed is false when it was so before.
	Changed bool `json:"changed" doc:"Whether this request changed it"`
	DryRun  bool `json:"dryRun,omitempty" doc:"Whether this only says what would be"`
	// Warnings are what looks wrong but was written all the same.
	Warnings []string `json:"warnings,omitempty" doc:"What looks wrong, but was written all the same"`
}

// writtenAnswer is Written with the version that the object has now; an object that is gone has none.
type writtenAnswer struct {
	ETag string `header:"ETag" doc:"The object's version, for If-Match; absent when there is no object"`
	Body Written
}

// WriteOptions are the conditions under which a write is made (RFC 9110, 13.1) and whether it is made at all.
type WriteOptions struct {
	IfMatch     string `header:"If-Match" maxLength:"64" pattern:"^([*]|\"[0-9]+\")?$" patternDescription:"an ETag in quotes, or *" doc:"Write only if the object still has this ETag; * is any object that exists" example:"\"42\""`
	IfNoneMatch string `header:"If-None-Match" maxLength:"64" pattern:"^[*]?$" patternDescription:"*" doc:"* writes only if the object does not exist yet"`
	DryRun      bool   `query:"dryRun" doc:"Check everything and say what would be, but write nothing"`
}

// write is one change that a caller asks for.
type write struct {
	command state.Command
	verb    access.Verb
	// namespaces are those that the change is about, none for all or no particular ones.
	namespaces []string
	// on is the object that the options' conditions are about.
	on      model.Ref
	options WriteOptions
}

// write does it and says so.
func (s *service) write(ctx context.Context, w write, warnings ...string) (*writtenAnswer, error) {
	r, err := s.do(ctx, w)
	if err != nil {
		return nil, err
	}
	out := &writtenAnswer{Body: Written{Index: r.Index, Changed: r.Changed, DryRun: w.options.DryRun, Warnings: warnings}}
	v := s.Consensus.View()
	switch exists := v.ModifiedAt(w.on) > 0; {
	case exists && r.Changed && !w.options.DryRun:
		// Somebody may have changed it again since: that is not the version that this caller knows.
		out.ETag = etagAt(r.Index)
	case exists:
		out.ETag = etag(v, w.on)
	}
	return out, nil
}

// do checks what the caller may do and proposes the change, or tries it on a copy of the state.
func (s *service) do(ctx context.Context, w write) (state.Result, error) {
	if err := callerOf(ctx).May(w.verb, w.namespaces); err != nil {
		return state.Result{}, huma.Error403Forbidden(err.Error())
	}
	v := s.Consensus.View()
	expect, err := w.options.expectations(v, w.on)
	if err != nil {
		return state.Result{}, err
	}
	return s.propose(ctx, v, state.Entry{Command: w.command, Expect: expect}, w.options.DryRun)
}

// propose has an entry applied in the caller's name, or tries it on a copy of v.
func (s *service) propose(ctx context.Context, v *state.View, e state.Entry, dryRun bool) (state.Result, error) {
	e.Actor = callerOf(ctx).Actor
	e.Actor.RequestID = requestIDOf(ctx)
	if dryRun {
		return s.try(v, e)
	}
	result, err := s.Consensus.Write(ctx, e)
	if err != nil {
		return result, asProblem(err)
	}
	return result, nil
}

// try applies an entry to a copy of the state.
func (s *service) try(v *state.View, e state.Entry) (state.Result, error) {
	e, err := e.Versioned(v.CommandVersion())
	if err != nil {
		return state.Result{}, asProblem(err)
	}
	e.At = s.Clock.Now()
	r := state.Restore(v, s.BundleRule).Apply(v.Index+1, e)
	if r.Fatal != nil {
		return r, huma.Error500InternalServerError(r.Fatal.Error())
	}
	if r.Err != nil {
		return r, asProblem(r.Err)
	}
	r.Index = v.Index
	return r, nil
}

// expectations turn the conditions into what the state checks when the write is applied.
func (o WriteOptions) expectations(v *state.View, on model.Ref) ([]state.Expectation, error) {
	held := v.ModifiedAt(on)
	switch {
	case o.IfMatch != "" && o.IfNoneMatch != "":
		return nil, huma.Error412PreconditionFailed("If-Match and If-None-Match: no object exists and does not; give one of the two")
	case o.IfNoneMatch == "*":
		return []state.Expectation{{Ref: on}}, nil
	case o.IfNoneMatch != "":
		return nil, huma.Error400BadRequest("If-None-Match: only * is understood for a write")
	case o.IfMatch == "":
		return nil, nil
	case o.IfMatch == "*":
		if held == 0 {
			return nil, huma.Error412PreconditionFailed(on.String() + " does not exist")
		}
		return []state.Expectation{{Ref: on, Index: held}}, nil
	}
	index, ok := parseETag(o.IfMatch)
	if !ok {
		return nil, huma.Error412PreconditionFailed(fmt.Sprintf("If-Match: %.40q is not an ETag of %s", o.IfMatch, on))
	}
	return []state.Expectation{{Ref: on, Index: index}}, nil
}

// etag is an object's ETag: the index of its last change.
func etag(v *state.View, on model.Ref) string { return etagAt(v.ModifiedAt(on)) }

func etagAt(index uint64) string { return strconv.Quote(strconv.FormatUint(index, 10)) }

func parseETag(text string) (uint64, bool) {
	inner, quoted := strings.CutPrefix(text, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	if !quoted || !closed {
		return 0, false
	}
	index, err := strconv.ParseUint(inner, 10, 64)
	return index, err == nil && index > 0
}
