package verdict

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// TTL is how long a prober's words count after its feed was last confirmed: five of its heartbeats.
	TTL = 10 * time.Second
	// quorum is how many others must agree to stand in for an own result: one alone may lie, or sit behind a broken network.
	quorum = 2
)

// Heard is what another cluster says.
type Heard struct {
	Prober model.ClusterName
	// Incarnation is the membership under which it publishes.
	Incarnation uint64
	// ConfirmedAt is when its feed last showed to be alive, by the clock of whoever judges: clocks of others do not matter. Zero is
	// never.
	ConfirmedAt time.Time
	// Records are those that it publishes. All but the verdicts are passed over.
	Records []model.Record
}

// Voices are those that say something of an address. Each cluster is in one of the two lists at most; they are sorted.
type Voices struct {
	Good, Bad []model.ClusterName
}

// agreed is what the others together stand in with: a quorum that outnumbers those who say the opposite.
func (v Voices) agreed() State {
	switch good, bad := len(v.Good), len(v.Bad); {
	case bad >= quorum && bad > good:
		return Bad
	case good >= quorum && good > bad:
		return Good
	}
	return Unknown
}

// Others is what the other clusters say at one time.
type Others struct {
	voices map[Address]*voices
	next   time.Time
}

// voices are those on one address while they are gathered: the last one that spoke may still contradict itself.
type voices struct {
	Voices
	last  model.ClusterName
	state State
}

// Collect gathers what counts of what was heard, each prober once and in any order. A prober counts while it is a member in its
// present incarnation and its feed was confirmed within TTL, and it has one voice per address: who says both has none. What a cluster
// says of its own gateways, and what self says, counts for nothing.
func Collect(self model.ClusterName, members map[model.ClusterName]model.Cluster, heard []Heard, now time.Time) Others {
	o := Others{voices: map[Address]*voices{}}
	for _, h := range heard {
		m, member := members[h.Prober]
		expires := h.ConfirmedAt.Add(TTL)
		if !member || h.Prober == self || h.Incarnation != m.Incarnation || h.ConfirmedAt.IsZero() || !now.Before(expires) {
			continue
		}
		for _, r := range h.Records {
			if r.Verdicts != nil && r.Verdicts.Cluster != h.Prober && r.Version.Incarnation == m.Incarnation {
				o.hear(h.Prober, *r.Verdicts)
				o.next = earlier(o.next, expires)
			}
		}
	}
	for _, v := range o.voices {
		v.settle()
		slices.Sort(v.Good)
		slices.Sort(v.Bad)
	}
	return o
}

// hear takes one set of a prober in.
func (o Others) hear(prober model.ClusterName, set model.VerdictSet) {
	for _, said := range set.Verdicts {
		ip, err := netip.ParseAddr(said.Address)
		if err != nil {
			continue
		}
		state := Good
		if said.Bad {
			state = Bad
		}
		address := Address{Cluster: set.Cluster, Gateway: said.Gateway, IP: ip.Unmap(), Port: said.Port}
		v := o.voices[address]
		if v == nil {
			v = &voices{}
			o.voices[address] = v
		}
		switch {
		case v.last != prober:
			v.settle()
			v.last, v.state = prober, state
		case v.state != state:
			v.state = Unknown
		}
	}
}

// settle counts the last voice: it has said everything.
func (v *voices) settle() {
	switch v.state {
	case Good:
		v.Good = append(v.Good, v.last)
	case Bad:
		v.Bad = append(v.Bad, v.last)
	}
	v.last, v.state = "", Unknown
}

// Next is when the first of the voices expires unless its feed is confirmed by then; zero when there is none.
func (o Others) Next() time.Time { return o.next }

// On returns what the others say of an address.
func (o Others) On(address Address) Voices {
	if v := o.voices[address]; v != nil {
		return v.Voices
	}
	return Voices{}
}

// Judgement is what to make of an address.
type Judgement struct {
	// State is what calls go by.
	State State
	// Suspicious says that somebody contradicts the own result, so that it should be renewed soon.
	Suspicious bool
}

// Judge puts an agent's own result beside what the others say. An own result decides. Without one, others who agree do. Either way a
// single voice that says otherwise is worth a look, and nothing more.
func Judge(own State, others Voices) Judgement {
	j := Judgement{State: own}
	if own == Unknown {
		j.State = others.agreed()
	}
	if own == Bad {
		j.Suspicious = len(others.Good) > 0
	} else {
		j.Suspicious = len(others.Bad) > 0
	}
	return j
}
