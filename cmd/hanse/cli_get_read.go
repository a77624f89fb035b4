package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// query is the list's filter.
func (g *getOptions) query() url.Values {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("namespace", g.namespace)
	set("selector", g.selector)
	for _, pair := range g.where {
		key, value, _ := strings.Cut(pair, "=")
		set(key, value)
	}
	if g.consistent {
		q.Set("consistent", "true")
	}
	return q
}

// read returns a kind's objects, all or those with the names.
func (g *getOptions) read(ctx context.Context, c *client, k kind, names []string) ([]json.RawMessage, error) {
	if len(names) == 0 {
		items, err := c.list(ctx, k, g.query())
		return k.complete(items), err
	}
	if k.get == nil {
		return g.pick(ctx, c, k, names)
	}
	query := url.Values{}
	if g.consistent {
		query.Set("consistent", "true")
	}
	var items []json.RawMessage
	for _, name := range names {
		resp, err := k.get(ctx, c.api(), name, withQuery(query))
		if err != nil {
			return nil, err
		}
		var one json.RawMessage
		if err := decodeAnswer(resp, &one); err != nil {
			return nil, err
		}
		items = append(items, one)
	}
	return k.complete(items), nil
}

// pick finds objects by name in the list, for kinds of which the API shows no single ones.
func (g *getOptions) pick(ctx context.Context, c *client, k kind, names []string) ([]json.RawMessage, error) {
	items, err := c.list(ctx, k, g.query())
	if err != nil {
		return nil, err
	}
	var out []json.RawMessage
	for _, name := range names {
		before := len(out)
		for _, raw := range items {
			if n, err := k.view.name(raw); err != nil {
				return nil, err
			} else if n == name {
				out = append(out, raw)
			}
		}
		if len(out) == before {
			return nil, codedError{exitNotFound, fmt.Errorf("no %s %s", k.singular(), name)}
		}
	}
	return out, nil
}

// complete makes sure that documents name their kind: without it they could not be applied again.
func (k kind) complete(items []json.RawMessage) []json.RawMessage {
	if !k.document {
		return items
	}
	for i, raw := range items {
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) != nil || fields["kind"] != nil {
			continue
		}
		fields["kind"], _ = json.Marshal(k.name)
		items[i], _ = json.Marshal(fields)
	}
	return items
}
