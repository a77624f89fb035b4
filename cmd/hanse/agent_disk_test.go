package main

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/gateway/route"
)

// saved is a folder in which a site that knew much has left its files, and that site.
func saved(t *testing.T) (dir string, own, us peer, before *site) {
	t.Helper()
	dir, own, us = t.TempDir(), newPeer(t, "eu", 1), newPeer(t, "us", 2)
	before = newSite(t, dir, own)
	before.source(fromProxies, all(workload("cart-1", "cart")))
	before.State(opened(view(t, own, us)).Proto(false))
	before.Import(us.offers(t, 3, "pay", "stock"))
	before.allot()
	for _, p := range []peer{own, us} {
		if err := before.introduce(p.bundle(t), p.Name == us.Name, p.Name == us.Name); err != nil {
			t.Fatal(err)
		}
	}
	before.save()
	return dir, own, us, before
}

func TestWhatTheCoreKnowsSurvivesARestart(t *testing.T) {
	dir, own, us, before := saved(t)
	after := newSite(t, dir, own)
	if err := after.load(); err != nil {
		t.Fatal(err)
	}
	if after.known() {
		t.Error("known before the source has spoken")
	}
	after.source(fromProxies, all(workload("cart-1", "cart")))
	if !after.known() {
		t.Error("the state is not known after a restart")
	}
	was, _ := before.inputs()
	is, _ := after.inputs()
	if !reflect.DeepEqual(was, is) {
		t.Errorf("%+v\nbecame\n%+v", was, is)
	}
	if len(is.Imports) != 2 || len(is.Bundles) != 2 || len(is.Exports) != 1 {
		t.Errorf("something is missing: %+v", is)
	}
	if got := after.virtualAddresses(); len(got) != 3 || !maps.Equal(got, before.virtualAddresses()) {
		t.Errorf("virtual addresses %v, were %v", got, before.virtualAddresses())
	}
	if !reflect.DeepEqual(after.believed(), before.believed()) || after.believed()[1].Belief != "sole" {
		t.Errorf("believed %+v, was %+v", after.believed(), before.believed())
	}
	// The session leads on from what is held.
	next := us.offers(t, 4, "pay")
	next.Full, next.From = false, us.offers(t, 3).To
	if gap := after.Import(next); gap {
		t.Error("a delta does not follow from what was loaded")
	}
	// Nobody knows any more which node has told it.
	if after.viewFrom != "" {
		t.Errorf("the state on disk is said to come from %s", after.viewFrom)
	}
}

func TestNothingToLoadIsNoError(t *testing.T) {
	s := newSite(t, t.TempDir(), newPeer(t, "eu", 1))
	if err := s.load(); err != nil || s.log.count("level=ERROR") != 0 {
		t.Errorf("a first start: %v", err)
	}
}

func TestADamagedCacheIsReportedAndSkipped(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"garbage": func([]byte) []byte { return []byte("no cache") },
		"state":   func([]byte) []byte { return []byte(`{"state":"/////w==","imports":"","vips":{}}`) },
		"imports": func([]byte) []byte { return []byte(`{"state":"","imports":"/////w==","vips":{}}`) },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir, own, _, _ := saved(t)
			path := filepath.Join(dir, cacheFile)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			s := newSite(t, dir, own)
			if err := s.load(); err != nil {
				t.Fatalf("a damaged cache keeps the agent from starting: %v", err)
			}
			if s.log.count("is damaged") != 1 {
				t.Error("nobody is told")
			}
			if got := s.believed(); len(got) != 2 {
				t.Errorf("the bundles went with it: %+v", got)
			}
		})
	}
}

func TestDamagedBundlesAreAnError(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"forged":  func([]byte) []byte { return []byte(`[{"signed":{"Statement":"AAAA"}}]`) },
		"no list": func([]byte) []byte { return []byte(`{}`) },
	} {
		dir, own, _, _ := saved(t)
		path := filepath.Join(dir, bundlesFile)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, damage(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := newSite(t, dir, own).load(); err == nil || !strings.Contains(err.Error(), bundlesFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	own := newPeer(t, "eu", 1)
	dir := filepath.Join(t.TempDir(), "away")
	s := newSite(t, dir, own)
	s.State(view(t, own).Proto(false))
	s.save()
	if s.log.count("could not save") != 1 || !s.unsaved[cacheFile] {
		t.Fatal("a failed write is not remembered, or not told")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.save()
	if _, err := os.Stat(filepath.Join(dir, cacheFile)); err != nil || len(s.unsaved) != 0 {
		t.Errorf("not written later: %v, %v", err, s.unsaved)
	}
}

func TestVirtualAddressesStay(t *testing.T) {
	_, _, us, s := saved(t)
	before := s.virtualAddresses()
	s.OriginDropped(us.Name)
	s.source(fromProxies, all(workload("new-1", "new")))
	s.allot()
	after := s.virtualAddresses()
	for name, address := range before {
		if after[name] != address {
			t.Errorf("%s was %s, is %q", name, address, after[name])
		}
	}
	values := slices.Sorted(maps.Values(after))
	if len(after) != len(before)+1 || len(slices.Compact(values)) != len(after) {
		t.Errorf("addresses %v", after)
	}
}

func TestEpochsOnDisk(t *testing.T) {
	store := epochFileStore{filepath.Join(t.TempDir(), epochFile)}
	if got, err := store.LoadEpoch(); got != 0 || err != nil {
		t.Errorf("without a file: %d, %v", got, err)
	}
	for _, epoch := range []uint64{1, 7, 1<<64 - 1} {
		if err := store.StoreEpoch(epoch); err != nil {
			t.Fatal(err)
		}
		if got, err := store.LoadEpoch(); got != epoch || err != nil {
			t.Errorf("stored %d, got %d, %v", epoch, got, err)
		}
	}
	for _, damaged := range []string{"", "seven", "-1", "18446744073709551616"} {
		if err := os.WriteFile(store.path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		// Zero would let an older state win.
		if got, err := store.LoadEpoch(); err == nil {
			t.Errorf("%q is taken for epoch %d", damaged, got)
		}
	}
}

func TestTheDiskIsWrittenApartAndNotForEveryChange(t *testing.T) {
	s := newSite(t, t.TempDir(), newPeer(t, "eu", 1))
	var disk schedule
	look := func(after time.Duration, wantNext time.Duration, wantWrite bool) {
		t.Helper()
		want := time.Time{}
		if wantNext > 0 {
			want = start.Add(wantNext)
		}
		if next := s.saveWhenDue(&disk, start.Add(after)); !next.Equal(want) || (len(s.saving) == 1) != wantWrite {
			t.Errorf("after %v: the next look is at %v, want %v; a write is asked for: %v", after, next, want, len(s.saving) == 1)
		}
	}
	look(0, 0, false)
	s.unsaved[cacheFile] = true
	look(0, saveDelay, false)
	look(saveDelay/2, saveDelay, false)
	look(saveDelay, 0, true)
	<-s.saving
	s.save()
	look(saveDelay, 0, false)
	// Whom the site believes is not left to the next crash.
	s.unsaved[bundlesFile] = true
	look(2*saveDelay, 0, true)
}

func TestWhatWasDeadBeforeARestartStillClimbs(t *testing.T) {
	dir, own := t.TempDir(), newPeer(t, "eu", 1)
	w := workload("pay-1", "pay")
	observe := func(s *site, ready bool, second int) map[route.RampKey]uint32 {
		w.Health.Ready = ready
		s.source(fromProxies, all(w))
		s.climb(start.Add(time.Duration(second) * time.Second))
		return s.failback.Ramps()
	}
	before := newSite(t, dir, own)
	observe(before, true, 0)
	if before.unsaved[cacheFile] {
		t.Error("what is merely there is written to disk")
	}
	observe(before, false, 1)
	if !before.unsaved[cacheFile] {
		t.Fatal("a death is not written to disk")
	}
	before.save()
	if observe(before, false, 2); before.unsaved[cacheFile] {
		t.Error("the disk is written although nothing changed")
	}
	after := newSite(t, dir, own)
	if err := after.load(); err != nil {
		t.Fatal(err)
	}
	if got := observe(after, true, 3); len(got) != 1 {
		t.Errorf("it takes its whole share at once: %v", got)
	}
	path := filepath.Join(dir, cacheFile)
	if err := os.WriteFile(path, []byte(`{"state":"","imports":"","vips":{"pay.shop":"127.64.0.9"},"failback":{"no":"list"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := newSite(t, dir, own)
	if err := damaged.load(); err != nil || damaged.log.count("failing back") != 1 || len(damaged.vips) != 1 {
		t.Errorf("a memory that cannot be read: %v, %d addresses, log %s", err, len(damaged.vips), damaged.log.text.String())
	}
}
