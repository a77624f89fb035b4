package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// How often changes that nobody waits for are written, and how soon after a failed write.
const (
	saveEvery = 200 * time.Millisecond
	saveRetry = 5 * time.Second
)

// versions count the changes of what each file holds; they are guarded by Site.mu.
type versions struct{ tokens, enrolments, registrations, declared uint64 }

type files struct{ tokens, enrolments, registrations, declared *file }

func newFiles(dir string) files {
	return files{
		tokens:        &file{path: filepath.Join(dir, "tokens.json")},
		enrolments:    &file{path: filepath.Join(dir, "enrolments.json")},
		registrations: &file{path: filepath.Join(dir, "registrations.json")},
		declared:      &file{path: filepath.Join(dir, "declared.json")},
	}
}

// file is replaced whole. Those who wait for a write that is under way share the next one.
type file struct {
	path    string
	mu      sync.Mutex
	written uint64
}

// save returns when a content of at least version need is on disk; take gives the newest.
func (f *file) save(need uint64, take func() (uint64, any)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written >= need {
		return nil
	}
	version, content := take()
	data, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode %s: %w", f.path, err)
	}
	if err := atomicfile.Write(f.path, data, 0o600); err != nil {
		return err
	}
	f.written = version
	return nil
}

// read leaves into alone when there is no file yet.
func (f *file) read(into any) error {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s is damaged: restore it from a backup, or move it away and enrol anew: %w", f.path, err)
	}
	return nil
}

func (s *Site) saveTokens() error {
	s.mu.Lock()
	need := s.versions.tokens
	s.mu.Unlock()
	return s.files.tokens.save(need, func() (uint64, any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		all := make([]storedToken, 0, len(s.tokens))
		for _, t := range s.tokens {
			all = append(all, *t)
		}
		return s.versions.tokens, all
	})
}

func (s *Site) saveEnrolments() error {
	s.mu.Lock()
	need := s.versions.enrolments
	s.mu.Unlock()
	return s.files.enrolments.save(need, func() (uint64, any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.versions.enrolments, slices.Collect(maps.Values(s.enrolments))
	})
}

func (s *Site) saveRegistrations() error {
	s.mu.Lock()
	need := s.versions.registrations
	s.mu.Unlock()
	return s.files.registrations.save(need, func() (uint64, any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.versions.registrations, s.workloads(byProxy)
	})
}

func (s *Site) saveDeclared() error {
	s.mu.Lock()
	need := s.versions.declared
	s.mu.Unlock()
	return s.files.declared.save(need, func() (uint64, any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.versions.declared, s.workloads(byOperator)
	})
}

func (s *Site) load() error {
	var tokens []storedToken
	if err := s.files.tokens.read(&tokens); err != nil {
		return err
	}
	for _, t := range tokens {
		s.tokens[t.ID] = &t
	}
	var enrolments []enrolment
	if err := s.files.enrolments.read(&enrolments); err != nil {
		return err
	}
	for _, e := range enrolments {
		s.enrolments[e.Workload] = e
	}
	return s.loadWorkloads()
}

func (s *Site) loadWorkloads() error {
	var registered, declared []model.Workload
	if err := s.files.registrations.read(&registered); err != nil {
		// Attached proxies will say it all again; not to start would be worse.
		s.cfg.Logger.Error("registrations of before the restart are lost", "error", err)
		registered = nil
	}
	// Nobody says these again.
	if err := s.files.declared.read(&declared); err != nil {
		return err
	}
	for _, list := range []struct {
		workloads []model.Workload
		declared  bool
	}{{registered, false}, {declared, true}} {
		for _, w := range list.workloads {
			if err := checkStored(w); err != nil {
				s.cfg.Logger.Warn("a registration of before the restart is left out", "workload", w.ID, "error", err)
				continue
			}
			// One that its proxy has taken over stands in both files if the agent ended between the two.
			if _, taken := s.entries[w.ID]; !taken {
				s.entries[w.ID] = &entry{workload: w, declared: list.declared}
			}
		}
	}
	return nil
}

// checkStored holds what is on disk to the rules of what may arrive: another build may have written it.
func checkStored(w model.Workload) error {
	if err := model.ValidateLabel("workload", w.ID); err != nil {
		return err
	}
	if err := model.ValidateLabel("service account", w.ServiceAccount); err != nil {
		return err
	}
	_, err := codec.WorkloadFromRegistration(codec.RegistrationToProto(w))
	return err
}

// persist writes what changed, at most every saveEvery, and once more when ctx ends.
func (s *Site) persist(ctx context.Context) error {
	for {
		select {
		case <-s.unsaved:
		case <-ctx.Done():
			_ = s.flush()
			return nil
		}
		pause := saveEvery
		if err := s.flush(); err != nil {
			pause = saveRetry
			wake(s.unsaved)
		}
		timer := s.cfg.Clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			_ = s.flush()
			return nil
		}
	}
}

// flush logs what it cannot write; its error only says that another attempt is due.
func (s *Site) flush() error {
	err := errors.Join(s.saveRegistrations(), s.saveDeclared(), s.saveEnrolments())
	if err != nil {
		s.cfg.Logger.Error("site state is not on disk", "error", err)
	}
	return err
}
