package rest

import (
	"bytes"
	"errors"
	"net/http"

	"github.com/hanse-mesh/hanse/api/model"
)

// recorded keeps an answer that another node gives, up to a bound.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
	over   bool
}

// maxRecorded leaves room for what stands around an agent's answer.
const maxRecorded = model.MaxAnswer + 16<<10

// Header returns the answer's header.
func (r *recorded) Header() http.Header { return r.header }

// WriteHeader keeps the first final status.
func (r *recorded) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
}

// Write keeps what fits.
func (r *recorded) Write(data []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.body.Len()+len(data) > maxRecorded {
		r.over = true
		return 0, errors.New("the answer is too long")
	}
	return r.body.Write(data)
}
