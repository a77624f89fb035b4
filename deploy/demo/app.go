package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// answer is what the demo's application says to a caller: who answered, and as whom the caller was seen.
type answer struct {
	Service  string `json:"service"`
	Instance string `json:"instance"`
	Region   string `json:"region"`
	// Peer is the SPIFFE ID that the caller proved to the Envoy in front of the application.
	Peer string `json:"peer"`
}

// runApp is the demo's application: it knows nothing of Hanse, of TLS or of other regions.
func runApp(args []string) error {
	flags := flag.NewFlagSet("app", flag.ContinueOnError)
	var a answer
	flags.StringVar(&a.Service, "service", "", "name of the service")
	flags.StringVar(&a.Instance, "instance", "", "name of this instance")
	flags.StringVar(&a.Region, "region", "", "region")
	httpAddress := flags.String("http", "", "address to serve HTTP on")
	tcpAddress := flags.String("tcp", "", "address to serve lines on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *tcpAddress != "" {
		l, err := net.Listen("tcp", *tcpAddress)
		if err != nil {
			return err
		}
		go serveLines(l, a)
	}
	srv := &http.Server{Addr: *httpAddress, Handler: appHandler(a), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.ListenAndServe(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func appHandler(a answer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		said := a
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
func serveLines(l net.Listener, a answer) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				fmt.Fprintf(conn, "%s %s %s\n", a.Region, a.Instance, lines.Text())
			}
		}()
	}
}
