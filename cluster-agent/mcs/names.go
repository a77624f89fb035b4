package mcs

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// Manager is the agent's name as field manager and in the managed-by labels.
const Manager = "hanse"

// The labels by which the agent knows its own objects.
const (
	LabelManagedBy      = "app.kubernetes.io/managed-by"
	LabelSliceManagedBy = discoveryv1.LabelManagedBy
)

// AnnotationDerived names an import's derived Service, for those who look for it.
const AnnotationDerived = "multicluster.kubernetes.io/derived-service"

// DerivedName is the name of a service's derived Service. It is a hash because the service's own name may be taken in its namespace.
func DerivedName(k model.ServiceKey) string { return "derived-" + hash(k.Namespace, k.Name) }

// DerivedFor returns the service that a derived Service of ours stands for.
func DerivedFor(s *corev1.Service) (model.ServiceKey, bool) {
	k := model.ServiceKey{Namespace: s.Namespace, Name: s.Labels[mcsv1beta1.LabelServiceName]}
	if s.Labels[LabelManagedBy] != Manager || k.Name == "" || s.Name != DerivedName(k) {
		return model.ServiceKey{}, false
	}
	return k, true
}

// hash makes ten characters of the parts, none of which has a slash: 50 bits, within one namespace.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "/")))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])[:10])
}
