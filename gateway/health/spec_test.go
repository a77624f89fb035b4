package health

import (
	"strings"
	"testing"
	"time"
)

func TestValidSpecs(t *testing.T) {
	for name, s := range map[string]Spec{
		"nothing": {},
		"http":    {Kind: HTTP, Target: "127.0.0.1:80"},
		"path":    {Kind: HTTP, Target: "[::1]:80", Path: "/healthz?full=1"},
		"tcp":     {Kind: TCP, Target: "db:5432", Interval: MinInterval, Timeout: time.Millisecond},
		"grpc":    {Kind: GRPC, Target: "127.0.0.1:1", Service: "pay.v1"},
		"command": {Kind: Command, Command: []string{"true"}, UnhealthyThreshold: 3},
	} {
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusedSpecs(t *testing.T) {
	for says, s := range map[string]Spec{
		`kind "icmp"`:              {Kind: "icmp"},
		`target ""`:                {Kind: TCP},
		`target "db"`:              {Kind: TCP, Target: "db"},
		`target ":80"`:             {Kind: HTTP, Target: ":80"},
		"no port":                  {Kind: GRPC, Target: "db:70000"},
		`path "x"`:                 {Kind: HTTP, Target: "a:1", Path: "x"},
		"is not a path":            {Kind: HTTP, Target: "a:1", Path: "/%zz"},
		"path has no meaning":      {Kind: TCP, Target: "a:1", Path: "/"},
		"service has no meaning":   {Kind: TCP, Target: "a:1", Service: "x"},
		"target has no meaning":    {Kind: None, Target: "a:1"},
		"command has no meaning":   {Kind: HTTP, Target: "a:1", Command: []string{"x"}},
		"command is empty":         {Kind: Command},
		"interval 1ms":             {Interval: time.Millisecond},
		"timeout -1s":              {Timeout: -time.Second},
		"unhealthy threshold -1":   {UnhealthyThreshold: -1},
		"healthy threshold 101 is": {HealthyThreshold: 101},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: got %v, want an error that says %q", s, err, says)
		}
	}
	if _, err := New(Spec{Kind: "icmp"}, nil); err == nil {
		t.Error("New took an invalid spec")
	}
}
