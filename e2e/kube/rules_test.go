//go:build e2ekube

package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// rule is one demand of the Multi-Cluster Services API, numbered as the specifications of its conformance suite are.
type rule struct {
	number int
	text   string
	// check returns nil when the rule holds. It starts with a namespace and client pods in every cluster, and nothing else.
	check func(*stage) error
}

// outcome is what a rule's check found.
type outcome struct {
	rule
	err      error
	evidence []string
	took     time.Duration
}

// rules are all of them, in order.
func rules() []rule {
	all := slices.Concat(importRules, conflictRules, pathRules, dnsRules)
	slices.SortFunc(all, func(a, b rule) int { return a.number - b.number })
	return all
}

// atOnce is how many rules are checked at the same time: most of the time they wait.
const atOnce = 4

// perRule bounds one rule.
const perRule = 5 * time.Minute

// judge checks all rules and returns what it found, in their order.
func judge(ctx context.Context, members []*member) []outcome {
	all := chosen()
	outcomes := make([]outcome, len(all))
	slots := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	for i, r := range all {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			outcomes[i] = examine(ctx, r, members)
		})
	}
	running.Wait()
	return outcomes
}

// examine checks one rule.
func examine(ctx context.Context, r rule, members []*member) outcome {
	ctx, cancel := context.WithTimeout(ctx, perRule)
	defer cancel()
	begin := time.Now()
	s, err := newStage(ctx, members)
	defer s.close()
	if err == nil {
		begin = time.Now()
		err = errors.Join(r.check(s), s.denied)
	}
	if err != nil {
		err = fmt.Errorf("in namespace %s: %w", s.namespace, err)
	}
	return outcome{rule: r, err: err, evidence: s.evidence, took: time.Since(begin)}
}

// chosen are all rules, or those whose numbers stand in RULES, as in RULES=4,18.
func chosen() []rule {
	numbers := os.Getenv("RULES")
	if numbers == "" {
		return rules()
	}
	return slices.DeleteFunc(rules(), func(r rule) bool {
		return !slices.Contains(strings.Split(numbers, ","), strconv.Itoa(r.number))
	})
}

func TestRulesAreNumberedWithoutAGap(t *testing.T) {
	for i, r := range rules() {
		if r.number != i+1 {
			t.Errorf("rule %d stands in place %d", r.number, i+1)
		}
	}
	if n := len(rules()); n != 27 {
		t.Errorf("%d rules, want 27", n)
	}
}
