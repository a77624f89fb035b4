//go:build e2ekube

package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
	"github.com/hanse-mesh/hanse/e2e/wan"
)

// isolated shows that no cluster's pods reach another's pods or services by their addresses, while each reaches its own. It returns what
// it saw.
func isolated(ctx context.Context, members []*member) ([]string, error) {
	s, err := newStage(ctx, members)
	defer s.close()
	if err != nil {
		return nil, err
	}
	err = s.each(func(m *member) error { return errors.Join(s.serve(m, nil), s.awaitServing(m)) })
	if err != nil {
		return nil, err
	}
	err = s.each(func(from *member) error {
		for _, to := range s.members {
			if err := s.shut(from, to); err != nil {
				return err
			}
		}
		return nil
	})
	return s.evidence, errors.Join(err, s.denied)
}

// shut tries the pod's and the service's addresses of one cluster from another, or from the same.
func (s *stage) shut(from, to *member) error {
	addresses, err := s.serverAddresses(to)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		family := corev1.IPv4Protocol
		if strings.Contains(address, ":") {
			family = corev1.IPv6Protocol
		}
		c := call{from: from, family: family, host: address, port: 42}
		if from == to {
			if err := s.answered(c, 1, to); err != nil {
				return err
			}
			continue
		}
		if err := s.unanswered(c); err != nil {
			return err
		}
	}
	return nil
}

// serverAddresses are those of the service hello and of its pod.
func (s *stage) serverAddresses(m *member) ([]string, error) {
	service, err := m.Kube.CoreV1().Services(s.namespace).Get(s.ctx, "hello", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pods, err := m.Kube.CoreV1().Pods(s.namespace).List(s.ctx, metav1.ListOptions{LabelSelector: "app=hello"})
	if err != nil || len(pods.Items) == 0 {
		return nil, fmt.Errorf("no pod hello in %s: %w", m.Name, err)
	}
	addresses := service.Spec.ClusterIPs
	for _, ip := range pods.Items[0].Status.PodIPs {
		addresses = append(addresses, ip.IP)
	}
	return addresses, nil
}

func TestClustersAreIsolated(t *testing.T) {
	ctx, cancel := context.WithTimeout(world.ctx, 3*time.Minute)
	defer cancel()
	evidence, err := isolated(ctx, world.members)
	for _, line := range evidence {
		t.Log(line)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The network between the clusters delays, cuts and heals, one way or both.
func TestWideAreaNetwork(t *testing.T) {
	if world.lab == nil {
		t.Skip("the clusters are not of this suite's making")
	}
	ctx, cancel := context.WithTimeout(world.ctx, time.Minute)
	defer cancel()
	first, second := world.members[0], world.members[1]
	set := func(c wan.Conditions) {
		t.Helper()
		if err := errors.Join(world.lab.WAN.Set(first.Name, second.Name, c), world.lab.WAN.Set(second.Name, first.Name, c)); err != nil {
			t.Fatal(err)
		}
	}
	defer set(wan.Conditions{})
	// The kubelet's port stands for anything that listens at a node's public address.
	address := net.JoinHostPort(second.Addresses.WAN4.String(), "10250")
	round := func() (time.Duration, error) { return first.Dial(ctx, address, 2*time.Second) }
	near, err := round()
	if err != nil {
		t.Fatalf("without delay: %v", err)
	}
	const delay = 150 * time.Millisecond
	set(wan.Conditions{Delay: delay})
	far, err := round()
	if err != nil || far < 2*delay {
		t.Errorf("%v each way: connected after %v: %v", delay, far, err)
	}
	set(wan.Conditions{Cut: true})
	if _, err := round(); err == nil {
		t.Error("a connection went through a cut")
	}
	set(wan.Conditions{})
	err = lab.Eventually(ctx, 10*time.Second, func(context.Context) error {
		_, err := round()
		return err
	})
	if err != nil {
		t.Errorf("after the cut: %v", err)
	}
	t.Logf("a connection takes %v, %v with a delay of %v each way, and none goes through a cut", near, far, delay)
}
