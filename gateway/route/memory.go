package route

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// remembered is one capacity of a marshalled Failback.
type remembered struct {
	RampKey
	Available bool      `json:"available"`
	Since     time.Time `json:"since"`
	Climbs    bool      `json:"climbs,omitempty"`
	Deaths    int       `json:"deaths,omitempty"`
}

// memory is what of a state a restart must not forget: the zero value for capacity that is merely there, which is seen again.
func (s capacityState) memory() remembered {
	if s.available && s.percent == whole && s.deaths == 0 {
		return remembered{}
	}
	return remembered{Available: s.available, Since: s.since.UTC(), Climbs: s.percent < whole, Deaths: s.deaths}
}

// Revision changes when what MarshalJSON writes does.
func (f Failback) Revision() uint64 { return f.revision }

// MarshalJSON writes what a restart must not forget: capacity that is dead, that climbs or is held down, and that died lately. Equal
// memories give equal bytes.
func (f Failback) MarshalJSON() ([]byte, error) {
	list := []remembered{}
	for k, s := range f.known {
		if r := s.memory(); r != (remembered{}) {
			r.RampKey = k
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b remembered) int { return a.compare(b.RampKey) })
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote, at any later time; a failure leaves f as it was.
func (f *Failback) UnmarshalJSON(data []byte) error {
	var list []remembered
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("failback: %w", err)
	}
	known := make(map[RampKey]capacityState, len(list))
	for _, r := range list {
		if r.Deaths < 0 || r.Climbs && !r.Available {
			return fmt.Errorf("failback: service %s of cluster %q in %s: %d deaths, available %v and climbing %v do not go together",
				r.Service, r.Cluster, r.Locality, r.Deaths, r.Available, r.Climbs)
		}
		s := capacityState{available: r.Available, since: r.Since, percent: whole, deaths: min(r.Deaths, freeDeaths+len(holdTimes))}
		if r.Climbs {
			// The first Step sets it right.
			s.percent = rampPercents[0]
		}
		known[r.RampKey] = s
	}
	f.known = known
	return nil
}

func (k RampKey) compare(o RampKey) int {
	return cmp.Or(k.Service.Compare(o.Service), cmp.Compare(k.Cluster, o.Cluster), k.Locality.Compare(o.Locality), compareFlag(k.Terminated, o.Terminated))
}
