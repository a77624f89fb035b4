package rest

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is an answer that says what is wrong (RFC 9457).
type Problem struct {
	Title  string `json:"title" doc:"The status in words" example:"Unprocessable Entity"`
	Status int    `json:"status" doc:"The HTTP status" minimum:"400" maximum:"599" example:"422"`
	Detail string `json:"detail,omitempty" doc:"What is wrong with this request"`
	// Errors name the fields that are wrong, at most maxFaults.
	Errors []Fault `json:"errors,omitempty" doc:"The fields that are wrong"`
}

// Fault is what is wrong with one part of a request.
type Fault struct {
	Location string `json:"location,omitempty" doc:"The field, for example body.spec.to[0], query.limit or path.name"`
	Message  string `json:"message" doc:"What is wrong with it"`
	Remedy   string `json:"remedy,omitempty" doc:"What to do"`
}

const (
	maxFaults = 20
	// maxFaultText bounds what an answer repeats of a request, in bytes.
	maxFaultText = 200
)

// The library keeps these for the whole process. Lists are never null here, names of fields have one spelling, and problems have one form.
func init() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true
	huma.NewError = newProblem
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of problems.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Error writes location, message and remedy.
func (f *Fault) Error() string {
	text := f.Message
	if f.Location != "" {
		text = f.Location + ": " + text
	}
	if f.Remedy != "" {
		text += ": " + f.Remedy
	}
	return text
}

// newProblem makes the answer for what the library or a handler finds wrong.
func newProblem(status int, detail string, errs ...error) huma.StatusError {
	p := &Problem{Title: http.StatusText(status), Status: status, Detail: strings.ToValidUTF8(detail, "?")}
	for _, err := range errs {
		if err != nil && len(p.Errors) < maxFaults {
			p.Errors = append(p.Errors, asFault(err))
		}
	}
	if len(p.Errors) > 0 && (detail == "" || detail == validationFailed) {
		p.Detail = p.Errors[0].Error()
		if more := len(errs) - 1; more > 0 {
			p.Detail += fmt.Sprintf(" (and %d more)", more)
		}
	}
	return p
}

// validationFailed is the library's detail of a request that does not match the description.
const validationFailed = "validation failed"

func asFault(err error) Fault {
	switch e := err.(type) {
	case *Fault:
		return e.bounded()
	case *huma.ErrorDetail:
		f := Fault{Location: e.Location, Message: e.Message, Remedy: remedies[e.Message]}
		if text, ok := e.Value.(string); ok && len(text) <= maxFaultText && e.Location != "body" {
			f.Message = fmt.Sprintf("%q: %s", text, e.Message)
		}
		return f.bounded()
	default:
		return (&Fault{Message: err.Error()}).bounded()
	}
}

// remedies are what to do about what the library finds.
var remedies = map[string]string{
	"unexpected property":                         "remove it; /openapi.json describes the fields",
	"expected object":                             "give a set of fields",
	"required path parameter is missing":          "give it a value",
	"required query parameter is missing":         "add it to the request",
	"expected string to be RFC 3339 date-time":    "write for example 2026-03-01T12:00:00Z",
	"invalid date/time for format " + rfc3339Form: "write for example 2026-03-01T12:00:00Z",
}

const rfc3339Form = "2006-01-02T15:04:05.999999999Z07:00"

func (f *Fault) bounded() Fault {
	return Fault{Location: clip(f.Location), Message: clip(f.Message), Remedy: clip(f.Remedy)}
}

// clip bounds a text and leaves it valid UTF-8.
func clip(text string) string {
	if len(text) > maxFaultText {
		text = text[:maxFaultText] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// Texts about documents begin with the field: after a colon, or as the subject of the sentence.
var (
	fieldBeforeColon = regexp.MustCompile(`^([A-Za-z][-A-Za-z0-9_./]*(?:(?:\[[0-9]+\])+(?:\.[-A-Za-z0-9_./]+)*)*): (.+)$`)
	fieldAsSubject   = regexp.MustCompile(`^((?:kind|name|labels|spec)(?:\.[-A-Za-z0-9_/]+|\[[0-9]+\])*) (.+)$`)
)

// documentFault takes field, message and remedy out of what api/policy says of a document; at is where the document stands.
func documentFault(at string, err error) *Fault {
	text := err.Error()
	f := &Fault{Location: at, Message: text}
	for _, form := range []*regexp.Regexp{fieldBeforeColon, fieldAsSubject} {
		if m := form.FindStringSubmatch(text); m != nil {
			if f.Location = at + "." + m[1]; !strings.HasPrefix(m[2], "and ") {
				f.Message = m[2]
			}
			break
		}
	}
	if message, remedy, ok := strings.Cut(f.Message, ": "); ok {
		f.Message, f.Remedy = message, remedy
	}
	return f
}

// unprocessable refuses a request that is well formed and makes no sense.
func unprocessable(faults ...*Fault) error {
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = f
	}
	return newProblem(http.StatusUnprocessableEntity, "", errs...)
}
