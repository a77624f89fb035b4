package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// operatorOptions say which federation an operator's command talks to, and as whom.
type operatorOptions struct {
	token     string
	tokenFile string
	servers   []string
	timeout   time.Duration
}

func (o *operatorOptions) bind(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&o.token, "operator-token", "", "operator token; better given as HANSE_OPERATOR_TOKEN or in a file")
	f.StringVar(&o.tokenFile, "operator-token-file", defaultTokenFile(), "file that holds the operator token")
	f.StringSliceVar(&o.servers, "server", nil, "REST address host:port of a federation node (default: those in the token)")
	f.DurationVar(&o.timeout, "timeout", 15*time.Second, "give up after this long")
}

// defaultTokenFile is where "server init" leaves the operator's token.
func defaultTokenFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "operator.token"
	}
	return filepath.Join(dir, "hanse", "operator.token")
}

func (o *operatorOptions) load() (token.Token, string, error) {
	text := o.token
	if text == "" {
		data, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return token.Token{}, "", usageError("no operator token: set HANSE_OPERATOR_TOKEN, or --operator-token-file to the file that 'hanse server init' wrote: %w", err)
		}
		text = strings.TrimSpace(string(data))
	}
	t, err := token.Parse(text)
	if err != nil {
		return token.Token{}, "", usageError("operator token: %w", err)
	}
	if t.Kind != model.TokenOperator {
		return token.Token{}, "", usageError("operator token: this is a %s token; 'hanse server init' printed the operator token", t.Kind)
	}
	return t, text, nil
}

// client talks to the REST API of whichever federation node answers first.
type client struct {
	servers []string
	token   string
	known   knownServers
	http    *http.Client
}

func (o *operatorOptions) client() (*client, error) {
	if o.timeout <= 0 {
		return nil, usageError("--timeout %s is not a time to wait: give for example 15s", o.timeout)
	}
	for _, server := range o.servers {
		if _, _, err := splitPort("--server", server); err != nil {
			return nil, err
		}
	}
	t, text, err := o.load()
	if err != nil {
		return nil, err
	}
	known := serverMemory(t, o.tokenFile)
	servers := append(slices.Clone(t.Addresses), known.load()...)
	config := identity.PinnedClientTLS(t.Pin)
	config.NextProtos = []string{"http/1.1"}
	if len(o.servers) > 0 {
		servers = o.servers
	}
	return &client{
		servers: unique(servers),
		token:   text,
		known:   known,
		http: &http.Client{
			Timeout: o.timeout,
			Transport: &http.Transport{
				TLSClientConfig:       config,
				DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
				ResponseHeaderTimeout: o.timeout,
			},
		},
	}, nil
}

// do sends a request, trying the servers in turn while they cannot be reached, and decodes the answer into out (which may be nil).
func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	var unreachable []error
	for _, server := range c.servers {
		req, err := http.NewRequestWithContext(ctx, method, "https://"+server+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.http.Do(req)
		if err != nil {
			unreachable = append(unreachable, fmt.Errorf("%s: %w", server, innermost(err)))
			continue
		}
		c.known.save(resp.Header.Get(rest.ServersHeader))
		return decodeAnswer(resp, out)
	}
	return codedError{exitUnavailable, fmt.Errorf("no federation node answers: %w", errors.Join(unreachable...))}
}

// innermost drops the method and address that net/http repeats around its errors.
func innermost(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func decodeAnswer(resp *http.Response, out any) error {
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode >= 400 {
		return answerError(resp.StatusCode, data)
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the answer is not what this version expects: %w", err)
	}
	return nil
}

func answerError(status int, data []byte) error {
	var p struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	text := strings.TrimSpace(string(data))
	if json.Unmarshal(data, &p) == nil && p.Title != "" {
		text = p.Title
		if p.Detail != "" {
			text = p.Detail
		}
		for _, e := range p.Errors {
			text += fmt.Sprintf("\n  %s: %s", e.Location, e.Message)
		}
	}
	code := exitFailure
	if status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout {
		code = exitUnavailable
	}
	return codedError{code, errors.New(text)}
}
