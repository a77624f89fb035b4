package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// pollEvery is how often what is not in the log is asked for.
const pollEvery = 2 * time.Second

// poll asks again and again, and shows what differs in more than its age.
func (g *getOptions) poll(ctx context.Context, c *client, w wanted, p *changePrinter) error {
	k, held := w.kinds[0], map[string]json.RawMessage{}
	for {
		items, err := g.read(ctx, c, k, w.names)
		if err != nil {
			return err
		}
		now, err := k.byName(items)
		if err != nil {
			return err
		}
		if err := p.compare(k, held, now); err != nil {
			return err
		}
		held = now
		if err := c.rest(ctx); err != nil {
			return err
		}
	}
}

func (k kind) byName(items []json.RawMessage) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(items))
	for _, raw := range items {
		name, err := k.view.name(raw)
		if err != nil {
			return nil, err
		}
		out[name] = raw
	}
	return out, nil
}

// compare shows what has changed between two readings.
func (p *changePrinter) compare(k kind, before, now map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if old, ok := before[name]; ok && bytes.Equal(settled(old), settled(now[name])) {
			continue
		}
		if err := p.see(change{Event: eventPut, Kind: k.name, Name: name, Object: now[name]}); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := now[name]; ok {
			continue
		}
		if err := p.see(change{Event: eventDelete, Kind: k.name, Name: name}); err != nil {
			return err
		}
	}
	return p.pause()
}

// followJournal shows what is added to a kind whose objects never change, oldest first.
func (g *getOptions) followJournal(ctx context.Context, c *client, k kind, p *changePrinter) error {
	q := g.query()
	for {
		items, err := c.list(ctx, k, q)
		if err != nil {
			return err
		}
		sorted, err := k.oldestFirst(items)
		if err != nil {
			return err
		}
		for _, e := range sorted {
			q.Set("after", e.at)
			if err := p.see(change{Event: eventPut, Kind: k.name, Name: e.name, Object: e.raw}); err != nil {
				return err
			}
		}
		if err := p.pause(); err != nil {
			return err
		}
		if err := c.rest(ctx); err != nil {
			return err
		}
	}
}

// journalEntry is an object of a kind that only grows.
type journalEntry struct {
	raw      json.RawMessage
	name, at string
	number   uint64
}

func (k kind) oldestFirst(items []json.RawMessage) ([]journalEntry, error) {
	out := make([]journalEntry, len(items))
	for i, raw := range items {
		name, err := k.view.name(raw)
		if err != nil {
			return nil, err
		}
		at, err := k.after(raw)
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the answer is not what this version expects: %w", err)
		}
		out[i] = journalEntry{raw, name, at, number}
	}
	slices.SortStableFunc(out, func(a, b journalEntry) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

// rest waits until it is time to ask again.
func (c *client) rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.clock.After(pollEvery):
		return nil
	}
}

// settled is an object without what moves by itself.
func settled(raw json.RawMessage) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	text, _ := json.Marshal(withoutAges(v))
	return text
}

func withoutAges(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "ageSeconds")
		delete(v, "producedAt")
		for key, field := range v {
			v[key] = withoutAges(field)
		}
	case []any:
		for i, item := range v {
			v[i] = withoutAges(item)
		}
	}
	return v
}
