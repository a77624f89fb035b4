package sample

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// CallHTTP makes one call, with another Host when host is set, and reads who answered.
func CallHTTP(ctx context.Context, client *http.Client, method, url, host string) (Answer, error) {
	var body io.Reader
	if method == http.MethodPost {
		// A reader that net/http does not know: it could otherwise send the call a second time by itself.
		body = io.MultiReader(strings.NewReader("ahoy"))
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return Answer{}, err
	}
	if host != "" {
		req.Host = host
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Answer{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("status %d: %.200s", resp.StatusCode, said)
	}
	var a Answer
	if err := json.Unmarshal(said, &a); err != nil {
		return Answer{}, errors.New("the answer is not the sample application's")
	}
	return a, nil
}

// HTTPClient calls an address over HTTP/1.1, on one connection that is kept, or on a new one for each call.
type HTTPClient struct {
	url    string
	client *http.Client
}

// NewHTTPClient returns a client that makes one call at a time.
func NewHTTPClient(address string, keep bool) *HTTPClient {
	return &HTTPClient{"http://" + address + "/", &http.Client{Transport: &http.Transport{
		DisableKeepAlives: !keep, MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1,
	}}}
}

// Call makes a call and returns who answered. A POST is a call that must not be made twice.
func (c *HTTPClient) Call(ctx context.Context, post bool) (Answer, error) {
	method := http.MethodGet
	if post {
		method = http.MethodPost
	}
	return CallHTTP(ctx, c.client, method, c.url, "")
}

// Close ends the connection.
func (c *HTTPClient) Close() { c.client.CloseIdleConnections() }

// GRPCClient calls an address by gRPC over plain HTTP/2.
type GRPCClient struct{ conn *grpc.ClientConn }

// NewGRPCClient returns a client with one connection, which it opens at the first call.
func NewGRPCClient(address string) (*GRPCClient, error) {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig())
	return &GRPCClient{conn}, err
}

// Call makes a call and returns who answered; every gRPC call is a POST.
func (c *GRPCClient) Call(ctx context.Context, _ bool) (Answer, error) {
	var said wrapperspb.StringValue
	if err := c.conn.Invoke(ctx, sayMethod, wrapperspb.String("ahoy"), &said); err != nil {
		return Answer{}, err
	}
	return readAnswer(said.Value)
}

// Close ends the connection.
func (c *GRPCClient) Close() { _ = c.conn.Close() }

// readAnswer reads "REGION INSTANCE …".
func readAnswer(text string) (Answer, error) {
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return Answer{}, fmt.Errorf("%q is not the sample application's", text)
	}
	return Answer{Region: fields[0], Instance: fields[1]}, nil
}

// LineClient exchanges lines with an address over TCP. After an error it connects anew.
type LineClient struct {
	address string
	// life is how many calls a connection is used for, left how many of them are left.
	life, left int
	conn       net.Conn
	reader     *bufio.Reader
}

// NewLineClient returns a client with one connection, which it opens at the first call and replaces after as many calls as life says, as
// pools do that bound the age of what they hold.
func NewLineClient(address string, life int) *LineClient {
	return &LineClient{address: address, life: life}
}

// Call exchanges a line and returns who answered.
func (c *LineClient) Call(ctx context.Context, _ bool) (Answer, error) {
	a, err := c.exchange(ctx)
	if c.left--; err != nil || c.left <= 0 {
		c.Close()
	}
	return a, err
}

func (c *LineClient) exchange(ctx context.Context) (Answer, error) {
	if c.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return Answer{}, err
		}
		c.conn, c.reader, c.left = conn, bufio.NewReader(conn), c.life
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.conn.SetDeadline(deadline); err != nil {
			return Answer{}, err
		}
	}
	if _, err := fmt.Fprintln(c.conn, "ahoy"); err != nil {
		return Answer{}, err
	}
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return Answer{}, err
	}
	if !strings.HasSuffix(line, " ahoy\n") {
		return Answer{}, fmt.Errorf("%q does not answer the line that was sent", line)
	}
	return readAnswer(line)
}

// Close ends the connection.
func (c *LineClient) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
