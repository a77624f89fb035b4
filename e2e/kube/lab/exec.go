package lab

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
)

// Exec runs a command in a pod's only container and returns its output and error output together. An error is a command that failed, or
// that did not run.
func (c *Cluster) Exec(ctx context.Context, namespace, pod string, argv ...string) (string, error) {
	return c.ExecIn(ctx, namespace, pod, "", argv...)
}

// ExecIn does the same in a container of a pod that has several.
func (c *Cluster) ExecIn(ctx context.Context, namespace, pod, container string, argv ...string) (string, error) {
	request := c.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: argv, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.Config, "GET", request.URL().String())
	if err != nil {
		return "", err
	}
	var output bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &output, Stderr: &output})
	if err != nil {
		err = fmt.Errorf("in pod %s/%s of %s: %s: %w: %s", namespace, pod, c.Name, strings.Join(argv, " "), err, output.String())
	}
	return output.String(), err
}
