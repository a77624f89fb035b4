// Package main is the sample application for pods, and what calls it: `sample app …`, `sample load …`.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/hanse-mesh/hanse/e2e/load"
	"github.com/hanse-mesh/hanse/e2e/sample"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "app":
			return sample.Run(args[1:])
		case "load":
			return runLoad(args[1:])
		}
	}
	return errors.New("the first argument must be app or load")
}

// runLoad calls on a fixed schedule for a time, and prints a line of JSON per outcome.
func runLoad(args []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	address := flags.String("address", "", "host:port to call")
	rate := flags.Int("rate", 100, "calls per second")
	timeout := flags.Duration("timeout", 2*time.Second, "how long after it was due a call fails")
	kept := flags.Int("kept", 10, "connections that are kept while they are idle")
	span := flags.Duration("for", 10*time.Second, "how long to make calls")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *span)
	defer cancel()
	out := json.NewEncoder(os.Stdout)
	var failed error
	load.Run(ctx, load.Config{
		Rate: *rate, Timeout: *timeout, Kept: *kept,
		Dial: func(keep bool) load.Client { return &client{address: *address, keep: keep} },
		Done: func(o load.Outcome) {
			if err := out.Encode(o); err != nil && failed == nil {
				failed = err
			}
		},
	})
	return failed
}
