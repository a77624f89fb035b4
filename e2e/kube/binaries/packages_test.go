package binaries

import (
	"strings"
	"testing"
)

func TestMissingProgramsNameTheCommandThatInstallsThem(t *testing.T) {
	if err := missing(func(string) bool { return true }); err != nil {
		t.Errorf("everything is installed, yet: %v", err)
	}
	err := missing(func(p string) bool { return p != "etcd" && p != "ctr" && p != "containerd" })
	if err == nil || !strings.HasSuffix(err.Error(), "apt-get install -y --no-install-recommends containerd etcd-server") {
		t.Errorf("without etcd and containerd: %v", err)
	}
}
