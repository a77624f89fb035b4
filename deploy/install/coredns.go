package install

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Where CoreDNS keeps its configuration in most clusters.
const (
	dnsNamespace = "kube-system"
	dnsConfig    = "coredns"
	dnsKey       = "Corefile"
)

// What stands around the block that is ours.
const (
	blockBegin = "# BEGIN hanse: answers for clusterset.local\n"
	blockEnd   = "# END hanse\n"
)

// withForward puts a block into a Corefile that sends clusterset.local to a name server, in place of the one of an earlier run.
func withForward(corefile, server string) string {
	rest := withoutForward(corefile)
	if rest != "" && !strings.HasSuffix(rest, "\n") {
		rest += "\n"
	}
	return rest + blockBegin + "clusterset.local:53 {\n    errors\n    forward . " + server + "\n}\n" + blockEnd
}

// withoutForward takes the block out, and leaves everything else as it was.
func withoutForward(corefile string) string {
	before, rest, found := strings.Cut(corefile, blockBegin)
	if !found {
		return corefile
	}
	_, after, found := strings.Cut(rest, blockEnd)
	if !found {
		return corefile
	}
	return before + after
}

// othersAnswer reports whether a Corefile without our block has an answer of its own for clusterset.local.
func othersAnswer(corefile string) bool {
	for line := range strings.Lines(withoutForward(corefile)) {
		if code, _, _ := strings.Cut(line, "#"); strings.Contains(code, "clusterset.local") {
			return true
		}
	}
	return false
}

// Forwarding is what is done to CoreDNS's configuration; it is empty if nothing is.
type Forwarding struct {
	// Note says why nothing is done, or what is left to do.
	Note   string
	change bool
}

// PlanForward finds out whether CoreDNS can be told of the name server.
func (i *Installer) PlanForward(ctx context.Context) (Forwarding, error) {
	corefile, err := i.corefile(ctx)
	switch {
	case apierrors.IsForbidden(err):
		return Forwarding{Note: "CoreDNS is left alone, because you may not read its configuration"}, nil
	case err != nil:
		return Forwarding{}, err
	case corefile == nil:
		return Forwarding{Note: "CoreDNS is left alone, because the ConfigMap kube-system/coredns has no Corefile"}, nil
	case othersAnswer(corefile.text):
		return Forwarding{Note: "CoreDNS is left alone, because its Corefile answers clusterset.local already"}, nil
	}
	server, err := i.NameServer(ctx)
	if err != nil {
		return Forwarding{}, err
	}
	if server != "" && withForward(corefile.text, server) == corefile.text {
		return Forwarding{}, nil
	}
	if err := i.check(ctx, []right{{"update", "", "configmaps", dnsNamespace, dnsConfig}}); err != nil {
		return Forwarding{}, err
	}
	f := Forwarding{change: true}
	if !strings.Contains(corefile.text, "reload") {
		f.Note = "CoreDNS does not reload its configuration by itself: restart it (kubectl --namespace kube-system rollout restart deployment coredns)"
	}
	return f, nil
}

// Changes reports whether Forward changes anything.
func (f Forwarding) Changes() bool { return f.change }

// Forward has CoreDNS ask the name server for clusterset.local.
func (i *Installer) Forward(ctx context.Context, f Forwarding, server string) error {
	if !f.change || server == "" {
		return nil
	}
	return i.edit(ctx, "CoreDNS asks "+server+" for clusterset.local", func(text string) string { return withForward(text, server) })
}

// Unforward takes that back.
func (i *Installer) Unforward(ctx context.Context) error {
	return i.edit(ctx, "CoreDNS asks nobody for clusterset.local any more", withoutForward)
}

// forwarded reports whether CoreDNS's configuration has our block.
func (i *Installer) forwarded(ctx context.Context) (bool, error) {
	c, err := i.corefile(ctx)
	if apierrors.IsForbidden(err) {
		return false, nil
	}
	return c != nil && withoutForward(c.text) != c.text, err
}

// corefile is CoreDNS's configuration as it is.
type corefile struct {
	object *unstructured.Unstructured
	text   string
}

func (i *Installer) corefile(ctx context.Context) (*corefile, error) {
	o, err := i.get(ctx, "ConfigMap", dnsNamespace, dnsConfig)
	if err != nil || o == nil {
		return nil, err
	}
	text, found, _ := unstructured.NestedString(o.Object, "data", dnsKey)
	if !found {
		return nil, nil
	}
	return &corefile{o, text}, nil
}

// edit changes the Corefile. Somebody else may do so at the same time: the API server tells, and it is done again.
func (i *Installer) edit(ctx context.Context, done string, change func(string) string) error {
	for range 5 {
		c, err := i.corefile(ctx)
		if err != nil || c == nil || change(c.text) == c.text {
			return err
		}
		if err := unstructured.SetNestedField(c.object.Object, change(c.text), "data", dnsKey); err != nil {
			return err
		}
		_, err = i.of("ConfigMap", dnsNamespace).Update(ctx, c.object, metav1.UpdateOptions{FieldManager: Manager})
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("change CoreDNS's configuration: %w", err)
		}
		i.Say("%s", done)
		return nil
	}
	return fmt.Errorf("the ConfigMap %s/%s changes all the time: run this again", dnsNamespace, dnsConfig)
}
