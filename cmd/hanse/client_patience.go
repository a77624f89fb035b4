package main

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// tellAfter is how long a command waits in silence.
	tellAfter = 2 * time.Second
	// maxRetryAfter is the longest wait that a node may ask for, maxTries how often it may ask.
	maxRetryAfter, maxTries = 30 * time.Second, 3
)

// tell says what is waited for when it takes long. The function that it returns ends that; nothing is said afterwards.
func (c *client) tell(what string) (stop func()) {
	timer := c.clock.NewTimer(tellAfter)
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer timer.Stop()
		select {
		case <-over:
		case <-timer.C():
			fmt.Fprintf(c.progress, "waiting for %s …\n", what)
		}
	}()
	return func() { close(over); <-done }
}

// retryAfter reports how long a node that takes no more requests for now asks to wait (RFC 6585, 4).
func retryAfter(resp *http.Response) (time.Duration, bool) {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	wait := time.Duration(seconds) * time.Second
	return wait, err == nil && resp.StatusCode == http.StatusTooManyRequests && wait > 0 && wait <= maxRetryAfter
}
