package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestALostSiteCAIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	open := func() error {
		a := &agentParts{
			opts:  agentOptions{dataDir: dir, svidTTL: time.Hour, site: endpoint{listen: "127.0.0.1:7710"}},
			clock: clock.Real{}, logger: slog.New(slog.DiscardHandler),
			member: member{Federation: "acme", Cluster: "eu", TrustDomain: "eu.acme", Incarnation: 1},
		}
		return a.openSite(t.Context())
	}
	if err := open(); err != nil {
		t.Fatalf("a new site: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, bundlesFile), []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Fatalf("a restart: %v", err)
	}
	ca := filepath.Join(dir, siteCAName+".pem")
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Fatalf("the lost CA: %v", err)
	}
	if _, err := os.Stat(ca); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("a new CA was made")
	}
}
