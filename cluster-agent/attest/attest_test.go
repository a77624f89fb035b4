package attest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// apiServer answers as it is told, and notes what it was asked.
type apiServer struct {
	status authenticationv1.TokenReviewStatus
	err    error
	asked  chan authenticationv1.TokenReviewSpec
	// hold, when it is not nil, lets a review go on when it is closed.
	hold chan struct{}
}

func (a *apiServer) Create(ctx context.Context, r *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	if a.asked != nil {
		a.asked <- r.Spec
	}
	if a.hold != nil {
		select {
		case <-a.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	r.Status = a.status
	return r, a.err
}

const jwt = "e30.e30.c2ln"

func accepted() authenticationv1.TokenReviewStatus {
	return authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{"other", "hanse"},
		User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:shop:till",
			Extra: map[string]authenticationv1.ExtraValue{
				podNameKey: {"cart-1"}, podUIDKey: {"0b1c"}, "authentication.kubernetes.io/node-name": {"n1"},
			},
		},
	}
}

func TestThePodOfAToken(t *testing.T) {
	api := &apiServer{status: accepted(), asked: make(chan authenticationv1.TokenReviewSpec, 1)}
	pod, err := New(api).Review(t.Context(), jwt)
	if want := (model.Pod{Namespace: "shop", ServiceAccount: "till", Name: "cart-1", UID: "0b1c"}); err != nil || pod != want {
		t.Errorf("%+v, %v", pod, err)
	}
	if asked := <-api.asked; asked.Token != jwt || len(asked.Audiences) != 1 || asked.Audiences[0] != "hanse" {
		t.Errorf("asked %+v", asked)
	}
}

func TestTokensThatDoNotCount(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*authenticationv1.TokenReviewStatus)
		says   string
	}{
		"refused":                {func(s *authenticationv1.TokenReviewStatus) { s.Authenticated, s.Error = false, "token has expired" }, "token has expired (is its audience hanse"},
		"refused without a word": {func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false }, "no reason"},
		"for the API server":     {func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil }, "another audience"},
		"for others":             {func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"vault"} }, "another audience"},
		"a user's":               {func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "jane" }, "not a service account's"},
		"of no namespace":        {func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:till" }, "not a service account's"},
		"made by hand":           {func(s *authenticationv1.TokenReviewStatus) { s.User.Extra = nil }, "not bound to a pod"},
		"of two pods":            {func(s *authenticationv1.TokenReviewStatus) { s.User.Extra[podNameKey] = []string{"a", "b"} }, "not bound to a pod"},
		"of an odd account":      {func(s *authenticationv1.TokenReviewStatus) { s.User.Username += "/../agent" }, "service account"},
	} {
		s := accepted()
		c.change(&s)
		if _, err := New(&apiServer{status: s}).Review(t.Context(), jwt); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoTokenIsNotAskedFor(t *testing.T) {
	api := &apiServer{asked: make(chan authenticationv1.TokenReviewSpec, 1)}
	for _, token := range []string{"", "x", "a.b", strings.Repeat("a", maxToken) + ".."} {
		if _, err := New(api).Review(t.Context(), token); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%.10q: %v", token, err)
		}
	}
	if len(api.asked) > 0 {
		t.Error("the API server was asked")
	}
}

func TestAnAPIServerThatDoesNotSay(t *testing.T) {
	resource := schema.GroupResource{Group: "authentication.k8s.io", Resource: "tokenreviews"}
	for says, err := range map[string]error{
		"connection refused":        errors.New("connection refused"),
		"create tokenreviews":       apierrors.NewForbidden(resource, "", errors.New("no")),
		"does not say whose":        apierrors.NewInternalError(errors.New("etcd is away")),
		"context deadline exceeded": context.DeadlineExceeded,
	} {
		if _, got := New(&apiServer{status: accepted(), err: err}).Review(t.Context(), jwt); status.Code(got) != codes.Unavailable || !strings.Contains(got.Error(), says) {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// TestFewReviewsAtOnce has more callers than turns: the last one waits, and is told when it waits for too long.
func TestFewReviewsAtOnce(t *testing.T) {
	api := &apiServer{status: accepted(), asked: make(chan authenticationv1.TokenReviewSpec, 100), hold: make(chan struct{})}
	r := New(api)
	done := make(chan error, atOnce+1)
	for range atOnce {
		go func() { _, err := r.Review(t.Context(), jwt); done <- err }()
	}
	for range atOnce {
		<-api.asked
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := r.Review(ended, jwt); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "at once") {
		t.Errorf("one too many: %v", err)
	}
	go func() { _, err := r.Review(t.Context(), jwt); done <- err }()
	close(api.hold)
	for range atOnce + 1 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
