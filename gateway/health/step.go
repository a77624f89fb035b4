package health

// Thresholds say how many equal results in a row change the verdict.
type Thresholds struct {
	// Healthy and Unhealthy are 1 or more.
	Healthy, Unhealthy int
}

// State is the verdict so far. The zero value has none: the first result decides alone, so that a workload does not stay in or
// out of rotation for lack of history.
type State struct {
	Known  bool
	Ready  bool
	Reason string
	// Streak counts the latest results in a row that speak against the verdict.
	Streak int
}

// Result is the outcome of one check.
type Result struct {
	OK bool
	// Reason says why it failed.
	Reason string
}

// Step adds a result; changed says that the verdict is new and must be reported.
func Step(t Thresholds, s State, r Result) (next State, changed bool) {
	if s.Known && r.OK == s.Ready {
		s.Streak = 0
		return s, false
	}
	s.Streak++
	needed := t.Unhealthy
	if r.OK {
		needed = t.Healthy
	}
	if s.Known && s.Streak < needed {
		return s, false
	}
	return State{Known: true, Ready: r.OK, Reason: r.Reason}, true
}
