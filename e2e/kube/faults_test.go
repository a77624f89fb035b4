//go:build e2ekube

package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/e2e/kube/image"
	"github.com/hanse-mesh/hanse/e2e/kube/lab"
	"github.com/hanse-mesh/hanse/e2e/load"
)

// callerPod makes calls for a time and ends. What a pod prints is kept on the node: nothing is lost, as of a command in a pod on a machine with
// too much to do. Its names are looked up as they are, so that each new connection asks for two addresses and not for eight.
const callerPod = `apiVersion: v1
kind: Pod
metadata: {name: POD, namespace: NAMESPACE}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  dnsConfig: {options: [{name: ndots, value: "1"}]}
  containers:
  - name: caller
    image: "` + image.Sample + `"
    args: [load, "--address=crew.NAMESPACE.svc.clusterset.local:80", --rate=RATE, --timeout=TIMEOUT, --for=SPAN]
`

// calm is how long calls are made before a fault.
const calm = 5 * time.Second

// fault is what happens to a cluster while another one calls it.
type fault struct {
	name string
	// span is how long calls are made.
	span time.Duration
	// strike returns when the fault is over.
	strike func(ctx context.Context, f *field) error
	// harmless says that no call may fail.
	harmless bool
}

// field is a caller in one cluster and a service in two others, one of which is struck.
type field struct {
	*stage
	caller, struck, spare *member
	// loads is how many pods have made calls.
	loads int
}

// Three clusters: calls from the first one, each made once, while something happens to the second one and the third serves, too.
func TestFaults(t *testing.T) {
	if world.lab == nil || len(world.members) < 3 {
		t.Skip("needs three clusters of this suite's making: CLUSTERS=3")
	}
	ctx, cancel := context.WithTimeout(world.ctx, 15*time.Minute)
	defer cancel()
	s, err := newStage(ctx, world.members[:3])
	defer s.close()
	if err != nil {
		t.Fatal(err)
	}
	f := &field{stage: s, caller: s.members[0], struck: s.members[1], spare: s.members[2]}
	if err := f.raise(); err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("%d calls/s from a pod in %s to a service in %s and %s, half on new connections, %v for each, none made twice\n",
		callRate, f.caller.Name, f.struck.Name, f.spare.Name, callTimeout)
	for _, x := range faults {
		t.Run(x.name, func(t *testing.T) {
			row, err := f.measure(x)
			if err != nil {
				row = fmt.Sprintf("%-34s FAIL: %v", x.name, err)
				t.Error(err)
			}
			t.Log(row)
			table += row + "\n"
		})
	}
	publish(t, "faults.txt", table)
}

const (
	callRate    = 100
	callTimeout = 2 * time.Second
)

// raise brings the services up.
func (f *field) raise() error {
	return f.each(func(m *member) error {
		if m == f.caller {
			return nil
		}
		return f.crew(m)
	})
}

// measure calls while a fault happens, and says what became of the calls due from then on.
func (f *field) measure(x fault) (string, error) {
	if err := f.awaitCalm(); err != nil {
		return "", fmt.Errorf("before the fault: %w", err)
	}
	ctx, cancel := context.WithTimeout(f.ctx, x.span+time.Minute)
	defer cancel()
	pod, err := f.start(ctx, x.span)
	if err != nil {
		return "", err
	}
	begin := time.Now()
	select {
	case <-time.After(calm):
	case <-ctx.Done():
	}
	struck := time.Now()
	err = x.strike(ctx, f)
	over := time.Since(struck)
	record, ended := f.outcomes(ctx, pod)
	if err := errors.Join(err, ended); err != nil {
		return "", err
	}
	before, after := record.Between(begin, calm, nil), record.Between(struck, 0, nil)
	row := fmt.Sprintf("%-34s %s; slowest %d ms; the fault took %.1f s; before it: %s", x.name, after, after.Worst.Milliseconds(), over.Seconds(), before)
	switch {
	case before.Regions[f.struck.Name] == 0:
		return row, fmt.Errorf("%s answered no call before it was struck: %s", f.struck.Name, row)
	case calm+over > x.span:
		return row, fmt.Errorf("the calls ended before the fault did: %s", row)
	case x.harmless && after.Failed > 0:
		return row, fmt.Errorf("%d calls failed: %s", after.Failed, row)
	}
	return row, nil
}

// awaitCalm waits until both clusters answer and no call fails or is slow.
func (f *field) awaitCalm() error {
	return lab.Eventually(f.ctx, time.Minute, func(ctx context.Context) error {
		pod, err := f.start(ctx, 2*time.Second)
		if err != nil {
			return err
		}
		record, err := f.outcomes(ctx, pod)
		if err != nil {
			return err
		}
		w := record.Between(time.Time{}, 0, nil)
		if w.Calls == 0 || w.Failed+w.Slow > 0 || w.Regions[f.struck.Name] == 0 || w.Regions[f.spare.Name] == 0 {
			return fmt.Errorf("%s", w)
		}
		return nil
	})
}

// start lets a pod call for a time, and returns its name as soon as it runs.
func (f *field) start(ctx context.Context, span time.Duration) (string, error) {
	f.loads++
	name := fmt.Sprintf("load-%d", f.loads)
	manifest := strings.NewReplacer("POD", name, "RATE", strconv.Itoa(callRate), "TIMEOUT", callTimeout.String(), "SPAN", span.String()).Replace(callerPod)
	if err := f.apply(f.caller, manifest); err != nil {
		return name, err
	}
	return name, f.awaitPhase(ctx, name, corev1.PodRunning, corev1.PodSucceeded)
}

// outcomes waits until a pod has made its calls, and returns what became of them.
func (f *field) outcomes(ctx context.Context, pod string) (*load.Record, error) {
	if err := f.awaitPhase(ctx, pod, corev1.PodSucceeded); err != nil {
		return nil, err
	}
	text, err := f.caller.Kube.CoreV1().Pods(f.namespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what pod %s printed: %w", pod, err)
	}
	record := &load.Record{}
	for in := json.NewDecoder(bytes.NewReader(text)); in.More(); {
		var o load.Outcome
		if err := in.Decode(&o); err != nil {
			return nil, fmt.Errorf("pod %s prints what is no outcome: %w", pod, err)
		}
		record.Add(o)
	}
	return record, nil
}

func (f *field) awaitPhase(ctx context.Context, name string, phases ...corev1.PodPhase) error {
	return lab.Eventually(ctx, 3*time.Minute, func(ctx context.Context) error {
		pod, err := f.caller.Kube.CoreV1().Pods(f.namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && !slices.Contains(phases, pod.Status.Phase) {
			err = fmt.Errorf("pod %s in %s is %s", name, f.caller.Name, pod.Status.Phase)
		}
		return err
	})
}
