// Package access owns what an operator may do: from who somebody is, and the replicated role bindings, to what is allowed.
//
// It is pure. That a credential is good is checked by whoever takes it; see federation/rest.
package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// Verb is a class of requests.
type Verb int

// The classes, weakest first.
const (
	// Read is everything that shows no credential and no other operator's deeds.
	Read Verb = iota
	// WritePolicy changes failover policies, export and import rules, and registrations of workloads.
	WritePolicy
	// Administer is everything else: members, tokens, access, the audit log.
	Administer
)

// least is the weakest role that may do it.
func (v Verb) least() model.Role { return model.Roles()[v] }

// Grant is one role, in some namespaces; none are all.
type Grant struct {
	Role       model.Role `json:"role" enum:"viewer,operator,admin"`
	Namespaces []string   `json:"namespaces,omitempty"`
}

// Caller is somebody whose credential was found good.
type Caller struct {
	Actor  model.Actor
	Grants []Grant
}

// May returns nil when the caller may do it to what is about these namespaces; none means that it is about all of them, or about none in
// particular. To read is never limited to namespaces.
func (c Caller) May(v Verb, namespaces []string) error {
	limited := false
	for _, g := range c.Grants {
		if slices.Index(model.Roles(), g.Role) < int(v) {
			continue
		}
		if v == Read || g.covers(namespaces) {
			return nil
		}
		limited = true
	}
	if limited {
		return fmt.Errorf("%s may do this in some namespaces only (%s), and it is about %s", c.Actor.Name, c.grants(), about(namespaces))
	}
	return fmt.Errorf("%s may not do this: it needs the role %s, and has %s", c.Actor.Name, v.least(), c.grants())
}

// Somewhere returns nil when there is anything that the caller may do it to.
func (c Caller) Somewhere(v Verb) error {
	for _, g := range c.Grants {
		if slices.Index(model.Roles(), g.Role) >= int(v) {
			return nil
		}
	}
	return c.May(v, nil)
}

func (g Grant) covers(namespaces []string) bool {
	if len(g.Namespaces) == 0 || slices.Contains(g.Namespaces, policy.Any) {
		return true
	}
	for _, n := range namespaces {
		if !slices.Contains(g.Namespaces, n) {
			return false
		}
	}
	return len(namespaces) > 0
}

func about(namespaces []string) string {
	if len(namespaces) == 0 || slices.Contains(namespaces, policy.Any) {
		return "all namespaces"
	}
	return strings.Join(namespaces, ", ")
}

func (c Caller) grants() string {
	if len(c.Grants) == 0 {
		return "none"
	}
	out := make([]string, len(c.Grants))
	for i, g := range c.Grants {
		if out[i] = string(g.Role); len(g.Namespaces) > 0 {
			out[i] += " in " + strings.Join(g.Namespaces, ", ")
		}
	}
	return strings.Join(out, "; ")
}

// OfToken is what the bearer of an operator token may do. A token without a role is an admin's: older ones have none.
func OfToken(t model.Token) Grant {
	if t.Role == "" {
		return Grant{Role: model.RoleAdmin}
	}
	return Grant{Role: t.Role, Namespaces: t.Namespaces}
}

// Person is somebody as a certificate or an identity provider names him.
type Person struct {
	// Provider is empty for a certificate.
	Provider string
	Name     string
	Groups   []string
}

// Of returns what the bindings grant to a person, in the bindings' order.
func Of(p Person, bindings []policy.RoleBinding) []Grant {
	var out []Grant
	for _, b := range bindings {
		if slices.ContainsFunc(b.Spec.Subjects, p.is) {
			out = append(out, Grant{Role: b.Spec.Role, Namespaces: b.Spec.Namespaces})
		}
	}
	return out
}

func (p Person) is(s policy.Subject) bool {
	switch s.Kind {
	case policy.SubjectCertificate:
		return p.Provider == "" && s.Name == p.Name
	case policy.SubjectUser:
		return p.Provider != "" && s.Provider == p.Provider && s.Name == p.Name
	case policy.SubjectGroup:
		return p.Provider != "" && s.Provider == p.Provider && slices.Contains(p.Groups, s.Name)
	}
	return false
}
