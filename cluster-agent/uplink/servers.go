package uplink

import "slices"

// attempts returns one round of addresses to try. After the last good one comes the next in the list, because a session that ended
// says that its node is going; then the good one again, which more likely lives than the rest; then the others in order.
func attempts(servers []string, lastGood string) []string {
	i := slices.Index(servers, lastGood)
	if i < 0 {
		return slices.Clone(servers)
	}
	round := slices.Concat(servers[i+1:], servers[:i])
	return slices.Insert(round, min(1, len(round)), lastGood)
}
