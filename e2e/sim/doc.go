// Package sim owns the deterministic simulation of a federation: the code that decides, on a network, clocks and disks that are not
// there.
//
// One seed is one world: some twenty processes, one heap of events, one virtual clock and one random source, in one goroutine. The
// same seed gives the same events, byte for byte, whatever machine it runs on. What decides in production decides here: catalog and
// imports, replicated state, feeds, overlay and spread, records with their signatures, throttle, verdicts, failback, assignments and
// snapshots. What is written anew is the plumbing around it, which in production is goroutines, gRPC, memberlist, Raft and files.
//
// Taken as given: Raft (one agreed log, which each node applies in its own time), TLS (who speaks on a stream is known), memberlist's
// failure detector, and that a file which was synced is there after a crash.
package sim
