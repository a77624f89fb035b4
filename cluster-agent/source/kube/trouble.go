package kube

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// request names a verb on a resource.
type request struct{ verb, resource string }

// The verbs of a watcher.
const (
	verbList  = "list"
	verbWatch = "watch"
)

// trouble is why a kind cannot be seen now. What was seen before stays in force.
type trouble struct {
	since time.Time
	// text names the cause and the remedy; it is the same for as long as the cause is.
	text string
	// detail is the newest error when the text does not say it all: it may be another each time.
	detail string
}

// troubleOf says what is wrong with a request, and what to do about it.
func troubleOf(r request, err error) (text, detail string) {
	switch {
	case errors.Is(err, errNoServiceExport):
		return errNoServiceExport.Error() + "; nothing is exported until then", ""
	case apierrors.IsForbidden(err):
		return fmt.Sprintf("the agent may not list and watch %s: grant its ServiceAccount both verbs in a ClusterRole; until then what it saw last counts", r.resource), ""
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept the agent's ServiceAccount token: see whether the ServiceAccount still exists and whether the clocks agree; until then what was seen last counts", ""
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("the API server does not serve %s: upgrade it, or enable the API", r.resource), ""
	}
	return "the API server does not answer, and what was seen last counts: see whether it runs and can be reached from the agent's pod", err.Error()
}

// settled reports whether there is nothing to wait for, though the kind cannot be listed: a cluster without the definition exports nothing.
func settled(k kind, err error) bool {
	return errors.Is(err, errNoServiceExport) || k.optional && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err))
}

// silent reports whether an error is no problem of anybody: what an optional kind helps with is known otherwise.
func silent(k kind, err error) bool { return k.optional && settled(k, err) }

// problems lists each text once, sorted, with the time since when it is so.
func problems(all map[request]trouble) []string {
	first := map[string]trouble{}
	for _, t := range all {
		if was, ok := first[t.text]; !ok || t.since.Before(was.since) || t.since.Equal(was.since) && t.detail < was.detail {
			first[t.text] = t
		}
	}
	var out []string
	for _, text := range slices.Sorted(maps.Keys(first)) {
		t := first[text]
		line := fmt.Sprintf("%s (since %s)", text, t.since.UTC().Format(time.RFC3339))
		if t.detail != "" {
			line += ": " + t.detail
		}
		out = append(out, line)
	}
	return out
}
