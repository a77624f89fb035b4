package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// collected are the objects that explain a failure.
var collected = []schema.GroupVersionResource{
	{Version: "v1", Resource: "events"},
	{Version: "v1", Resource: "nodes"},
	{Version: "v1", Resource: "pods"},
	{Version: "v1", Resource: "services"},
	{Version: "v1", Resource: "configmaps"},
	{Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
	{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
	{Group: "multicluster.x-k8s.io", Version: "v1beta1", Resource: "serviceexports"},
	{Group: "multicluster.x-k8s.io", Version: "v1beta1", Resource: "serviceimports"},
}

// maxCollected bounds the objects of one kind.
const maxCollected = 2000

// Collect writes the clusters' objects into the lab's folder, beside the logs of their programs and pods, and returns a copy of all that:
// the folder itself is removed by the next lab.
func (l *Lab) Collect(ctx context.Context, into string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, c := range l.Clusters {
		if c.Dynamic == nil {
			continue
		}
		dir := c.file("objects")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		for _, resource := range collected {
			text, err := c.dump(ctx, resource)
			if err != nil {
				text = []byte(err.Error() + "\n")
			}
			if err := os.WriteFile(filepath.Join(dir, resource.Resource+".yaml"), text, 0o644); err != nil {
				return "", err
			}
		}
	}
	target := filepath.Join(into, time.Now().UTC().Format("failed-20060102-150405"))
	for _, site := range l.sites() {
		for _, part := range []string{"log", "objects"} {
			source := filepath.Join(l.Dir, site, part)
			if _, err := os.Stat(source); err != nil {
				continue
			}
			if err := os.CopyFS(filepath.Join(target, site, part), os.DirFS(source)); err != nil {
				return target, fmt.Errorf("keep the logs of %s: %w", site, err)
			}
		}
	}
	return target, nil
}

func (l *Lab) sites() []string {
	sites := []string{FederationSite}
	for _, c := range l.Clusters {
		sites = append(sites, c.Name)
	}
	return sites
}

func (c *Cluster) dump(ctx context.Context, resource schema.GroupVersionResource) ([]byte, error) {
	list, err := c.Dynamic.Resource(resource).List(ctx, metav1.ListOptions{Limit: maxCollected})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", resource.Resource, err)
	}
	for i := range list.Items {
		list.Items[i].SetManagedFields(nil)
	}
	return yaml.Marshal(list.Items)
}
