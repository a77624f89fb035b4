//go:build e2ekube

package kube

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// brief is a value on one line.
func brief(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// portTexts are an import's ports, sorted, in a form that can be compared with a service's.
func portTexts(i *mcsv1beta1.ServiceImport) []string {
	var out []string
	for _, p := range i.Spec.Ports {
		out = append(out, portText(p.Name, string(p.Protocol), p.Port, p.AppProtocol))
	}
	slices.Sort(out)
	return out
}

func serviceTexts(ports []corev1.ServicePort) []string {
	var out []string
	for _, p := range ports {
		out = append(out, portText(p.Name, string(p.Protocol), p.Port, p.AppProtocol))
	}
	slices.Sort(out)
	return out
}

func portText(name, protocol string, number int32, appProtocol *string) string {
	return fmt.Sprintf("%s %s %d %s", name, protocol, number, ptr.Deref(appProtocol, "-"))
}

// familiesOf names the family of each address.
func familiesOf(addresses []string) ([]corev1.IPFamily, error) {
	var out []corev1.IPFamily
	for _, text := range addresses {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		if address.Is4() {
			out = append(out, corev1.IPv4Protocol)
		} else {
			out = append(out, corev1.IPv6Protocol)
		}
	}
	return out, nil
}
