// Package e2e owns the suites that break real processes: kill -9 under writes, torn logs, full disks, many nodes of which some are dead,
// frozen or strangers, and input that makes no sense.
//
// They run behind the build tag e2e against the binary that HANSE_BINARY names, by default bin/hanse: `make e2e`.
package e2e
