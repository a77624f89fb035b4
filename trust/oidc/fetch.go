package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hanse-mesh/hanse/trust/jwt"
)

const (
	// fetchTimeout bounds a request with its answer.
	fetchTimeout = 5 * time.Second
	// maxSet bounds a set of keys, in bytes.
	maxSet = 256 << 10
	// maxRedirects bounds how often an issuer may send on.
	maxRedirects = 3
)

// newClient follows few redirects, and none that leaves HTTPS: the keys decide who is an operator.
func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport,
		Timeout:   fetchTimeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Scheme != "https" {
				return errors.New("it redirects to a URL that is not https")
			}
			if len(via) > maxRedirects {
				return fmt.Errorf("it redirects more than %d times", maxRedirects)
			}
			return nil
		},
	}
}

// fetch gets a set of keys.
func (c *Checker) fetch(ctx context.Context, url string) (jwt.Keys, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return jwt.Keys{}, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := c.client.Do(r)
	if err != nil {
		return jwt.Keys{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return jwt.Keys{}, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxSet+1))
	switch {
	case err != nil:
		return jwt.Keys{}, fmt.Errorf("read the answer of %s: %w", url, err)
	case len(text) > maxSet:
		return jwt.Keys{}, fmt.Errorf("%s answers more than %d bytes", url, maxSet)
	}
	keys, err := jwt.ParseKeys(text)
	if err != nil {
		return jwt.Keys{}, fmt.Errorf("the answer of %s does not count: %w", url, err)
	}
	return keys, nil
}
