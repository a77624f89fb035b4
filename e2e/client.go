//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// api is one node's REST API in the hands of an operator.
type api struct {
	address, credential string
	http                *http.Client
}

// reply is what a node answered.
type reply struct {
	status int
	// index is the header Hanse-Index; 0 when there is none.
	index uint64
	body  []byte
}

// newAPI trusts whom the operator's token pins, as the command line does.
func newAPI(address, credential string) (*api, error) {
	t, err := token.Parse(credential)
	if err != nil {
		return nil, err
	}
	config := identity.PinnedClientTLS(t.Pin)
	config.NextProtos = []string{"http/1.1"}
	transport := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 64}
	return &api{address: address, credential: credential, http: &http.Client{Transport: transport, Timeout: 10 * time.Second}}, nil
}

// do sends one request to this node and no other. An error means that no whole answer came.
func (a *api) do(ctx context.Context, method, path string, in any) (reply, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return reply{}, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+a.address+path, body)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+a.credential)
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	index, _ := strconv.ParseUint(resp.Header.Get("Hanse-Index"), 10, 64)
	return reply{status: resp.StatusCode, index: index, body: data}, nil
}

// get reads path into out and returns the index that the answer is not older than.
func (a *api) get(ctx context.Context, path string, out any) (index uint64, err error) {
	r, err := a.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, err
	}
	if r.status != http.StatusOK {
		return 0, fmt.Errorf("GET %s: status %d: %s", path, r.status, r.body)
	}
	return r.index, json.Unmarshal(r.body, out)
}
