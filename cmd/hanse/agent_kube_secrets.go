package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// identitySecret holds an agent's identity, its site's CA and whom it believes: one key for each file of the data folder.
const identitySecret = "hanse-agent-identity"

// identityFiles are kept in identitySecret within a second of each change. The bundles go there with the CA: what an agent believes is
// worth as much as what it is. The key is the last that is restored.
var identityFiles = []string{memberFile, agentChainFile, siteCAName + ".pem", siteKeyFile, epochFile, bundlesFile, agentKeyFile}

// settledFiles never change once they are in the Secret; two versions of one are two agents.
var settledFiles = []string{agentKeyFile, siteCAName + ".pem"}

// How often the data folder is looked at, how long an attempt to write a Secret may take, and how long after a failed one the next follows.
const (
	mirrorInterval = time.Second
	secretTimeout  = 10 * time.Second
	secretRetry    = 5 * time.Second
)

// secretAPI is the part of the API that a store needs.
type secretAPI interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error)
	Create(ctx context.Context, s *corev1.Secret, opts metav1.CreateOptions) (*corev1.Secret, error)
	Update(ctx context.Context, s *corev1.Secret, opts metav1.UpdateOptions) (*corev1.Secret, error)
}

// secretStore keeps an agent's data folder, which ends with its pod, in Secrets. Only the holder of the lease may use it. It is for one
// goroutine at a time.
type secretStore struct {
	api    secretAPI
	dir    string
	clock  clock.Clock
	logger *slog.Logger

	// kept is what identitySecret is known to hold.
	kept  map[string][]byte
	cache cacheSet
	// complaint is what was logged last; the next attempt follows at retry.
	complaint string
	retry     time.Time
}

func newSecretStore(api secretAPI, dir string, c clock.Clock, logger *slog.Logger) *secretStore {
	return &secretStore{api: api, dir: dir, clock: c, logger: logger}
}

// restore fills an empty data folder from the Secrets. A folder that has a key is that of a pod whose container was restarted: it is newer.
func (s *secretStore) restore(ctx context.Context) error {
	if err := s.cache.load(ctx, s.api); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.dir, agentKeyFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	held, err := getSecret(ctx, s.api, identitySecret)
	if err != nil || held == nil {
		return err
	}
	// The key comes last: a folder that has it is whole.
	if err := s.cache.unpack(s.dir); err != nil {
		s.logger.Error("the cache in the Secrets is damaged; going on without it", "error", err)
	}
	for _, name := range identityFiles {
		if data, ok := held.Data[name]; ok {
			if err := atomicfile.Write(filepath.Join(s.dir, name), data, 0o600); err != nil {
				return err
			}
		}
	}
	s.logger.Info("identity and cache come from Secrets", "secret", identitySecret)
	return nil
}

// keepIdentity returns when the identity's files are in their Secret as they are on disk.
func (s *secretStore) keepIdentity(ctx context.Context) error {
	now, err := s.identityOnDisk()
	if err != nil || len(now) == 0 || sameFiles(now, s.kept) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	held, err := getSecret(ctx, s.api, identitySecret)
	if err != nil {
		return err
	}
	if held == nil {
		_, err = s.api.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: identitySecret, Labels: ownLabels}, Data: now}, metav1.CreateOptions{})
	} else if err = sameAgent(held.Data, now); err == nil && !sameFiles(now, held.Data) {
		held.Data = now
		_, err = s.api.Update(ctx, held, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write secret %s: %w", identitySecret, err)
	}
	s.kept = now
	return nil
}

func (s *secretStore) identityOnDisk() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range identityFiles {
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			out[name] = data
		}
	}
	return out, nil
}

// sameAgent keeps one agent from writing over another one's keys: they could not be had back.
func sameAgent(held, now map[string][]byte) error {
	for _, name := range settledFiles {
		if was, ok := held[name]; ok && !bytes.Equal(was, now[name]) {
			return fmt.Errorf("it holds another %s than this pod's data folder: restart the pod to go on with what the Secret holds, or delete the Secret to go on with what the pod has", name)
		}
	}
	return nil
}

func sameFiles(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for name, data := range a {
		if other, ok := b[name]; !ok || !bytes.Equal(data, other) {
			return false
		}
	}
	return true
}

// keepUntilDone repeats keepIdentity until it has succeeded: what follows must not be lost.
func (s *secretStore) keepUntilDone(ctx context.Context, say func(string)) error {
	for {
		err := s.keepIdentity(ctx)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		say("the agent's keys cannot be kept: " + err.Error())
		s.complain(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.clock.After(mirrorInterval):
		}
	}
}

// run mirrors the data folder until ctx ends.
func (s *secretStore) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.clock.After(mirrorInterval):
		}
		now := s.clock.Now()
		if now.Before(s.retry) {
			continue
		}
		if err := errors.Join(s.keepIdentity(ctx), s.cache.keep(ctx, s.api, s.dir, now)); err != nil && ctx.Err() == nil {
			s.retry = now.Add(secretRetry)
			s.complain(err)
			continue
		}
		s.complaint = ""
	}
}

// flush writes what is not written yet, at the end of the process.
func (s *secretStore) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), secretTimeout/2)
	defer cancel()
	_, err := s.cache.write(ctx, s.api, s.dir)
	if err := errors.Join(s.keepIdentity(ctx), err); err != nil {
		s.logger.Warn("the newest state is not in the Secrets; the federation will tell it again", "error", err)
	}
}

// complain logs a trouble when it begins, not each time.
func (s *secretStore) complain(err error) {
	if s.complaint != err.Error() {
		s.complaint = err.Error()
		s.logger.Error("could not write the agent's Secrets; the data folder has everything, and ends with the pod", "error", err)
	}
}

// getSecret returns nil when there is none.
func getSecret(ctx context.Context, api secretAPI, name string) (*corev1.Secret, error) {
	held, err := api.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return held, err
}
