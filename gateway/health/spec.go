package health

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind says how a workload is checked.
type Kind string

// The kinds of check.
const (
	// HTTP asks for a path and wants a status from 200 to 399; redirects are not followed.
	HTTP Kind = "http"
	// TCP wants a connection.
	TCP Kind = "tcp"
	// GRPC asks the standard health service, grpc.health.v1, and wants SERVING.
	GRPC Kind = "grpc"
	// Command wants exit status 0.
	Command Kind = "command"
	// None takes the workload for ready at all times.
	None Kind = "none"
)

// Bounds of a Spec.
const (
	MinInterval  = 100 * time.Millisecond
	MaxInterval  = time.Hour
	MaxTimeout   = 5 * time.Minute
	MaxThreshold = 100
)

// Spec is how a workload is checked. Zero values mean the defaults.
type Spec struct {
	// Kind defaults to None.
	Kind Kind
	// Target is host:port, for HTTP, TCP and GRPC.
	Target string
	// Path is for HTTP and defaults to "/".
	Path string
	// Service is the name that GRPC asks for; the empty name is the whole server.
	Service string
	// Command is the program and its arguments, run without a shell.
	Command []string
	// Interval is the pause between two checks, Timeout the longest that one may take; both default to 1 s.
	Interval, Timeout time.Duration
	// HealthyThreshold and UnhealthyThreshold default to 1: a workload whose check fails is out of rotation at once.
	HealthyThreshold, UnhealthyThreshold int
}

// WithDefaults fills in what is not said.
func (s Spec) WithDefaults() Spec {
	if s.Kind == "" {
		s.Kind = None
	}
	if s.Kind == HTTP && s.Path == "" {
		s.Path = "/"
	}
	for _, d := range []*time.Duration{&s.Interval, &s.Timeout} {
		if *d == 0 {
			*d = time.Second
		}
	}
	for _, n := range []*int{&s.HealthyThreshold, &s.UnhealthyThreshold} {
		if *n == 0 {
			*n = 1
		}
	}
	return s
}

// Validate checks a spec; zero values are fine. The error names the field and what it may be.
func (s Spec) Validate() error {
	s = s.WithDefaults()
	if err := s.validateKind(); err != nil {
		return err
	}
	switch {
	case s.Interval < MinInterval || s.Interval > MaxInterval:
		return fmt.Errorf("health interval %v is not between %v and %v", s.Interval, MinInterval, MaxInterval)
	case s.Timeout < 0 || s.Timeout > MaxTimeout:
		return fmt.Errorf("health timeout %v is not between 0 and %v", s.Timeout, MaxTimeout)
	case s.HealthyThreshold < 0 || s.HealthyThreshold > MaxThreshold:
		return fmt.Errorf("healthy threshold %d is not between 1 and %d", s.HealthyThreshold, MaxThreshold)
	case s.UnhealthyThreshold < 0 || s.UnhealthyThreshold > MaxThreshold:
		return fmt.Errorf("unhealthy threshold %d is not between 1 and %d", s.UnhealthyThreshold, MaxThreshold)
	}
	return nil
}

func (s Spec) validateKind() error {
	switch s.Kind {
	case HTTP, TCP, GRPC:
		if err := validateTarget(s.Target); err != nil {
			return err
		}
	case Command:
		if len(s.Command) == 0 || s.Command[0] == "" {
			return errors.New("health command is empty: give the program and its arguments as a list")
		}
	case None:
	default:
		return fmt.Errorf("health kind %q is not one of http, tcp, grpc, command, none", s.Kind)
	}
	onlyFor := []struct {
		field string
		set   bool
		kinds []Kind
	}{
		{"target", s.Target != "", []Kind{HTTP, TCP, GRPC}},
		{"path", s.Path != "", []Kind{HTTP}},
		{"service", s.Service != "", []Kind{GRPC}},
		{"command", len(s.Command) > 0, []Kind{Command}},
	}
	for _, o := range onlyFor {
		if o.set && !slices.Contains(o.kinds, s.Kind) {
			return fmt.Errorf("health %s has no meaning for kind %s: it is for %v", o.field, s.Kind, o.kinds)
		}
	}
	if s.Kind == HTTP && !strings.HasPrefix(s.Path, "/") {
		return fmt.Errorf("health path %q does not begin with /", s.Path)
	}
	if _, err := url.Parse(s.Path); err != nil {
		return fmt.Errorf("health path %q is not a path: %w", s.Path, err)
	}
	return nil
}

func validateTarget(target string) error {
	host, port, err := net.SplitHostPort(target)
	if err != nil || host == "" {
		return fmt.Errorf("health target %q is not host:port, such as 127.0.0.1:8080", target)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("health target %q has no port from 1 to 65535", target)
	}
	return nil
}
