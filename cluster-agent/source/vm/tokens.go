package vm

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Mint makes a workload token and returns its id and its secret, which is kept only as a hash. It needs no federation.
func (s *Site) Mint(spec TokenSpec) (id, secret string, err error) {
	spec = spec.withDefaults()
	if err := spec.validate(); err != nil {
		return "", "", fmt.Errorf("mint a workload token: %w", err)
	}
	token, secret := newToken(spec, s.cfg.Clock.Now())
	if err := s.addToken(&token); err != nil {
		return "", "", fmt.Errorf("mint a workload token: %w", err)
	}
	if err := s.saveTokens(); err != nil {
		s.mu.Lock()
		delete(s.tokens, token.ID)
		s.mu.Unlock()
		return "", "", fmt.Errorf("mint a workload token: %w", err)
	}
	return token.ID, secret, nil
}

func (s *Site) addToken(t *storedToken) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock.Now()
	for id, old := range s.tokens {
		if old.forgotten(now) {
			delete(s.tokens, id)
		}
	}
	if len(s.tokens) >= maxTokens {
		return fmt.Errorf("the site holds %d tokens, which is the limit: give one token several uses", maxTokens)
	}
	s.tokens[t.ID] = t
	s.versions.tokens++
	return nil
}

// Tokens lists the site's tokens, newest first.
func (s *Site) Tokens() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Token, 0, len(s.tokens))
	for _, t := range s.tokens {
		all = append(all, t.Token)
	}
	slices.SortFunc(all, func(a, b Token) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Revoke ends a token: nobody enrols with it any more, its holders' repeats included. Workloads that are enrolled stay so; Forget
// ends those.
func (s *Site) Revoke(tokenID string) error {
	s.mu.Lock()
	t, ok := s.tokens[tokenID]
	if ok {
		revoked := *t
		revoked.Revoked = true
		s.tokens[tokenID] = &revoked
		s.versions.tokens++
	}
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("token %q is not known at this site", tokenID)
	}
	return s.saveTokens()
}

// Forget ends a workload's enrolment and registration: its stream ends, and its key gets no certificate without a new token.
// Certificates that it holds go on until they expire.
func (s *Site) Forget(workloadID string) error {
	s.mu.Lock()
	_, enrolled := s.enrolments[workloadID]
	e, registered := s.entries[workloadID]
	if enrolled {
		delete(s.enrolments, workloadID)
		s.versions.enrolments++
	}
	s.unbind(workloadID)
	if registered {
		if e.stream != nil {
			e.stream.stop(status.Errorf(codes.PermissionDenied, "workload %q was removed by an operator: enrol it with a new workload token", workloadID))
		}
		s.remove(workloadID)
	}
	s.mu.Unlock()
	if !enrolled && !registered {
		return fmt.Errorf("workload %q is not known at this site", workloadID)
	}
	if err := s.saveTokens(); err != nil {
		return err
	}
	return s.saveEnrolments()
}

// unbind makes the uses that a workload spent useless, without giving them back; s.mu is held.
func (s *Site) unbind(workloadID string) {
	for id, t := range s.tokens {
		if !slices.ContainsFunc(t.UsedBy, func(u Use) bool { return u.Workload == workloadID }) {
			continue
		}
		unbound := *t
		unbound.UsedBy = slices.Clone(t.UsedBy)
		for i, u := range unbound.UsedBy {
			if u.Workload == workloadID {
				unbound.UsedBy[i].KeyHash = nil
			}
		}
		s.tokens[id] = &unbound
		s.versions.tokens++
	}
}
