// Package attest owns the question to the API server of whom a service-account token was issued to (TokenReview, authentication.k8s.io/v1).
package attest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// maxToken bounds a token, in bytes; those of API servers have about one thousand.
	maxToken = 16 << 10
	// atOnce bounds the reviews that are under way: anybody who reaches the agent can cause one.
	atOnce = 8
	// patience bounds one review, with the wait for its turn.
	patience = 8 * time.Second
)

// TokenReviews is the part of the API server that a Reviewer needs.
type TokenReviews interface {
	Create(ctx context.Context, review *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// Reviewer has tokens reviewed. It is safe for concurrent use.
type Reviewer struct {
	api   TokenReviews
	turns chan struct{}
}

// New returns a Reviewer.
func New(api TokenReviews) *Reviewer {
	return &Reviewer{api: api, turns: make(chan struct{}, atOnce)}
}

// Review returns the pod that a token was issued to. The error is a gRPC status for the token's holder: Unauthenticated when the token does
// not count, Unavailable when the API server does not say.
func (r *Reviewer) Review(ctx context.Context, token string) (model.Pod, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return model.Pod{}, status.Error(codes.Unauthenticated, "what was sent is no service-account token: give --service-account-token the file of a projected one")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return model.Pod{}, status.Error(codes.Unavailable, "too many service-account tokens are to be reviewed at once: try again")
	}
	review, err := r.api.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{model.TokenAudience}},
	}, metav1.CreateOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return model.Pod{}, status.Error(codes.Unavailable,
			"the agent may not ask the API server about service-account tokens: let its service account create tokenreviews.authentication.k8s.io")
	case err != nil:
		return model.Pod{}, status.Errorf(codes.Unavailable, "the API server does not say whose service-account token this is: %v", err)
	}
	pod, err := podOf(review.Status)
	if err != nil {
		return model.Pod{}, status.Error(codes.Unauthenticated, err.Error())
	}
	return pod, nil
}

// The keys under which the API server says which pod a token is bound to.
const (
	podNameKey = "authentication.kubernetes.io/pod-name"
	podUIDKey  = "authentication.kubernetes.io/pod-uid"
)

// podOf reads a review.
func podOf(s authenticationv1.TokenReviewStatus) (model.Pod, error) {
	if !s.Authenticated {
		reason := s.Error
		if reason == "" {
			reason = "it gives no reason"
		}
		return model.Pod{}, errors.New("the API server does not accept the service-account token: " + reason + " (is its audience " + model.TokenAudience +
			", is the pod still there, are the clocks right?)")
	}
	// Who does not understand audiences confirms none, and has judged the token as one for itself.
	if !slices.Contains(s.Audiences, model.TokenAudience) {
		return model.Pod{}, errors.New("the service-account token is for another audience: project one with audience " + model.TokenAudience)
	}
	account, ok := strings.CutPrefix(s.User.Username, "system:serviceaccount:")
	namespace, name, found := strings.Cut(account, ":")
	if !ok || !found || model.ValidateLabel("namespace", namespace) != nil {
		return model.Pod{}, errors.New("the token is not a service account's")
	}
	pod := model.Pod{Namespace: namespace, ServiceAccount: name, Name: only(s.User.Extra[podNameKey]), UID: only(s.User.Extra[podUIDKey])}
	if pod.Name == "" || pod.UID == "" {
		return model.Pod{}, errors.New("the service-account token is not bound to a pod: project one into the pod, do not make one by hand")
	}
	// A service account's name may have dots; an identity's path may, too, but what reads certificates here goes by labels.
	if err := model.ValidateLabel("service account", pod.ServiceAccount); err != nil {
		return model.Pod{}, err
	}
	return pod, nil
}

// only is the one value of a list, empty when there are none or several.
func only(values authenticationv1.ExtraValue) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}
