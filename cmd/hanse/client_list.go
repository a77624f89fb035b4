package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

const (
	// pageSize is how many items are asked for at once.
	pageSize = 1000
	// maxItems bounds a list that is held in memory; a filter gets at the rest.
	maxItems = 1_000_000
)

// page is a part of a list.
type page struct {
	Items    []json.RawMessage `json:"items"`
	Continue string            `json:"continue,omitempty"`
}

// list reads a kind's list to its end.
func (c *client) list(ctx context.Context, k kind, query url.Values) ([]json.RawMessage, error) {
	items := []json.RawMessage{}
	ask := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for name, values := range query {
		ask[name] = values
	}
	for {
		resp, err := k.list(ctx, c.api(), withQuery(ask))
		if err != nil {
			return nil, err
		}
		var p page
		if err := decodeAnswer(resp, &p); err != nil {
			return nil, err
		}
		items = append(items, p.Items...)
		switch {
		case p.Continue == "":
			return items, nil
		case len(items) > maxItems:
			return nil, fmt.Errorf("the list has more than %d items: ask for less of it with a filter", maxItems)
		}
		ask.Set("continue", p.Continue)
	}
}
