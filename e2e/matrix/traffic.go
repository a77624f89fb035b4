//go:build e2e

package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/hanse-mesh/hanse/e2e/load"
	"github.com/hanse-mesh/hanse/e2e/sample"
)

// rateVariable sets another rate than the matrix's, for machines that are too slow for it.
const rateVariable = "HANSE_MATRIX_RATE"

// rate is calls per second and protocol.
func rate() int {
	if r, err := strconv.Atoi(os.Getenv(rateVariable)); err == nil && r > 0 {
		return r
	}
	return callRate
}

const (
	callRate    = 200
	callTimeout = 2 * time.Second
	keptClients = 25
	// postEvery makes every fifth HTTP call a POST.
	postEvery = 5
	// sessionLife is how many lines a kept TCP connection is used for: without an end, those that once fled to another region would stay
	// there.
	sessionLife = 50
)

// runLoad is the main function of a process that makes one protocol's calls to an address and tells each outcome on a Unix socket.
func runLoad(protocol, address, socket string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	out := json.NewEncoder(conn)
	posts := 0
	if protocol == HTTP {
		posts = postEvery
	}
	load.Run(ctx, load.Config{
		Rate: rate(), Timeout: callTimeout, Kept: keptClients, PostEvery: posts,
		Dial: func(keep bool) load.Client { return dial(protocol, address, keep) },
		Done: func(o load.Outcome) { _ = out.Encode(o) },
	})
	return nil
}

func dial(protocol, address string, keep bool) load.Client {
	switch protocol {
	case HTTP:
		return sample.NewHTTPClient(address, keep)
	case GRPC:
		c, err := sample.NewGRPCClient(address)
		if err != nil {
			panic(err) // The address is the suite's own.
		}
		return c
	default:
		return sample.NewLineClient(address, sessionLife)
	}
}

// collect records, as long as this process lives, what the one process that makes a protocol's calls tells on a Unix socket.
func collect(socket string, record *load.Record) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("collect outcomes: %w", err)
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		in := json.NewDecoder(conn)
		for {
			var o load.Outcome
			if in.Decode(&o) != nil {
				return
			}
			record.Add(o)
		}
	}()
	return nil
}
