// Package sample owns the application that suites and the demo run behind Hanse, and what calls it: over HTTP, gRPC and a protocol of
// lines that no proxy understands. It knows nothing of Hanse, of TLS or of other regions.
package sample

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Answer is what the application says to a caller: who answered, and as whom the caller was seen.
type Answer struct {
	Service  string `json:"service"`
	Instance string `json:"instance"`
	Region   string `json:"region"`
	// Peer is the SPIFFE ID that the caller proved to the Envoy in front of the application.
	Peer string `json:"peer"`
}

// app is a running application. Its check fails from SIGUSR1 to SIGUSR2, whatever else it answers.
type app struct {
	Answer
	unhealthy atomic.Bool
}

// Run is the application's main function. It ends by SIGTERM.
func Run(args []string) error {
	flags := flag.NewFlagSet("app", flag.ContinueOnError)
	var a app
	flags.StringVar(&a.Service, "service", "", "name of the service")
	flags.StringVar(&a.Instance, "instance", "", "name of this instance")
	flags.StringVar(&a.Region, "region", "", "region")
	httpAddress := flags.String("http", "", "address to serve HTTP on")
	tcpAddress := flags.String("tcp", "", "address to serve lines on")
	grpcAddress := flags.String("grpc", "", "address to serve gRPC on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go a.watchHealth()
	if err := serveOn(*tcpAddress, a.serveLines); err != nil {
		return err
	}
	if err := serveOn(*grpcAddress, a.serveGRPC); err != nil {
		return err
	}
	srv := &http.Server{Addr: *httpAddress, Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.ListenAndServe(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// serveOn serves in the background, unless there is no address.
func serveOn(address string, serve func(net.Listener)) error {
	if address == "" {
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go serve(l)
	return nil
}

func (a *app) watchHealth() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	for s := range signals {
		a.unhealthy.Store(s == syscall.SIGUSR1)
	}
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if a.unhealthy.Load() {
			http.Error(w, "unhealthy", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		said := a.Answer
		said.Peer = peerURI(r.Header.Get("X-Forwarded-Client-Cert"))
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(said)
	})
	return mux
}

// peerURI reads the caller's SPIFFE ID from the header that the local Envoy sets.
func peerURI(xfcc string) string {
	for _, part := range strings.Split(xfcc, ";") {
		if uri, ok := strings.CutPrefix(part, "URI="); ok {
			return uri
		}
	}
	return ""
}

// serveLines answers each line with the instance's name and the line: a protocol that no proxy understands.
func (a *app) serveLines(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				_, _ = fmt.Fprintf(conn, "%s %s %s\n", a.Region, a.Instance, lines.Text())
			}
		}()
	}
}

// sayMethod is the one method of the gRPC service: it answers "REGION INSTANCE".
const sayMethod = "/hanse.sample.Echo/Say"

func (a *app) serveGRPC(l net.Listener) {
	say := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(&wrapperspb.StringValue{}); err != nil {
			return nil, err
		}
		return wrapperspb.String(a.Region + " " + a.Instance), nil
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "hanse.sample.Echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: say}},
	}, a)
	_ = s.Serve(l)
}
