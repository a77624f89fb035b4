package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"sort"
	"strings"
)

// List is one page of a list.
type List[T any] struct {
	Items []T `json:"items"`
	// Continue asks for the next page; it is empty on the last one.
	Continue string `json:"continue,omitempty" doc:"Give it as the parameter continue to get what comes next; absent at the end"`
}

// ReadOptions say how new an answer must be.
type ReadOptions struct {
	Consistent bool `query:"consistent" doc:"Ask the leader, after a barrier: the answer is not older than the request"`
}

// PageOptions say which part of a list is asked for.
type PageOptions struct {
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"500" doc:"How many items to answer with at most"`
	Continue string `query:"continue" maxLength:"512" pattern:"^[-_A-Za-z0-9]*$" doc:"What the page before had as continue; good for the same filters only"`
}

// page cuts a page out of items, which are sorted by key. A page begins after the last key of the one before, so that every item that stays
// is seen once, whatever comes and goes meanwhile. list and filters tell whose pages these are.
func page[T any](items []T, key func(T) string, p PageOptions, list string, filters ...string) (List[T], error) {
	scope := list + "\x00" + strings.Join(filters, "\x00")
	first := 0
	if p.Continue != "" {
		last, ok := openContinue(p.Continue, scope)
		if !ok {
			return List[T]{}, newProblem(http.StatusUnprocessableEntity, "", &Fault{
				Location: "query.continue", Message: "is damaged, or of a list with other filters", Remedy: "leave it out to begin again",
			})
		}
		first = sort.Search(len(items), func(i int) bool { return key(items[i]) > last })
	}
	end := min(len(items), first+p.Limit)
	out := List[T]{Items: append([]T{}, items[first:end]...)}
	if end < len(items) {
		out.Continue = sealContinue(key(items[end-1]), scope)
	}
	return out, nil
}

// joinKey makes a key of several names, so that the first decides before the second.
func joinKey(names ...string) string { return strings.Join(names, "\x00") }

// byKey sorts items for page.
func byKey[T any](items []T, key func(T) string) []T {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	return items
}

// continueCheck is how many bytes of a checksum over list, filters and key stand before the key.
const continueCheck = 8

func sealContinue(key, scope string) string {
	return base64.RawURLEncoding.EncodeToString(append(continueSum(key, scope), key...))
}

func openContinue(text, scope string) (key string, ok bool) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) < continueCheck {
		return "", false
	}
	key = string(data[continueCheck:])
	return key, bytes.Equal(data[:continueCheck], continueSum(key, scope))
}

func continueSum(key, scope string) []byte {
	sum := sha256.Sum256([]byte(scope + "\x00\x00" + key))
	return sum[:continueCheck]
}

// keep leaves the items that satisfy every condition.
func keep[T any](items []T, conditions ...func(T) bool) []T {
	out := items[:0:0]
next:
	for _, item := range items {
		for _, holds := range conditions {
			if !holds(item) {
				continue next
			}
		}
		out = append(out, item)
	}
	return out
}

// orEmpty is the list itself, or one without items in place of none: answers say [] and never null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
