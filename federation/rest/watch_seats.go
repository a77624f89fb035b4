package rest

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
)

// seatsRetryAfter is after how many seconds a watch may be asked for again that was one too many.
const seatsRetryAfter = "10"

// seats count the watches of a node. It is safe for concurrent use.
type seats struct {
	// most is how many there are, perCaller how many of them one credential may take.
	most, perCaller int

	mu    sync.Mutex
	taken int
	by    map[string]int
}

// take takes a seat until release is called, which must be once.
func (s *seats) take(caller model.Actor) (release func(), err error) {
	who := caller.Name + "\x00" + caller.Credential
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.by[who] >= s.perCaller:
		return nil, tooMany(huma.Error429TooManyRequests, caller.Name+" has "+strconv.Itoa(s.perCaller)+" watches at this node, which is the most: end some, or ask another node")
	case s.taken >= s.most:
		return nil, tooMany(huma.Error503ServiceUnavailable, "this node serves "+strconv.Itoa(s.most)+" watches, which is the most: ask another node, or try again")
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.taken++
	s.by[who]++
	return func() { s.leave(who) }, nil
}

func tooMany(status func(string, ...error) huma.StatusError, detail string) error {
	return huma.ErrorWithHeaders(status(detail), http.Header{"Retry-After": {seatsRetryAfter}})
}

func (s *seats) leave(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.by[who]--; s.by[who] == 0 {
		delete(s.by, who)
	}
}

// count is how many seats are taken.
func (s *seats) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}
