package server

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/records"
)

// link is an agent's end of a session.
type link struct {
	t        *testing.T
	agent    *agent
	stream   grpc.BidiStreamingClient[hansev1.SessionRequest, hansev1.SessionResponse]
	instance string
	version  model.Version
	// state is the newest that came; held are the records of other origins, by origin and key.
	state *hansev1.State
	// publisher is what the node told last of who publishes as the agent's cluster.
	publisher *hansev1.Publisher
	held      map[string]map[string]string
}

func (f *federation) hello(a *agent, instance string) *hansev1.SessionHello {
	return &hansev1.SessionHello{ProtocolMin: 1, ProtocolMax: 7, Cluster: string(a.name), Instance: instance, AgentVersion: "v1"}
}

func (f *federation) open(t *testing.T, to string, a *agent, hello *hansev1.SessionHello) *link {
	t.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	t.Cleanup(cancel)
	stream, err := hansev1.NewFederationServiceClient(f.dial(to, a.identity)).Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{t: t, agent: a, stream: stream, instance: hello.GetInstance(), held: map[string]map[string]string{}}
	m := &hansev1.SessionRequest{}
	if hello != nil {
		m.Message = &hansev1.SessionRequest_Hello{Hello: hello}
	}
	l.send(m)
	return l
}

// connect opens a session and reads its welcome and first state.
func (f *federation) connect(t *testing.T, to string, a *agent, instance string) *link {
	t.Helper()
	l := f.open(t, to, a, f.hello(a, instance))
	m, err := l.stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	w := m.GetWelcome()
	if w.GetProtocol() != model.ProtocolMax || w.GetFederation() != "acme" || w.GetNode() != to || w.GetIncarnation() != a.cluster.Incarnation {
		t.Fatalf("welcome %v", m)
	}
	l.version = model.Version{Incarnation: w.GetIncarnation(), Epoch: codec.VersionFromProto(w.GetHeld()).Epoch + 1}
	l.until("the state", func() bool { return l.state != nil })
	return l
}

func (l *link) send(m *hansev1.SessionRequest) {
	l.t.Helper()
	// An error shows as the stream's status when it is read.
	if err := l.stream.Send(m); err != nil && err != io.EOF {
		l.t.Fatal(err)
	}
}

// next reads one message and applies it as an agent does.
func (l *link) next() (*hansev1.SessionResponse, error) {
	m, err := l.stream.Recv()
	if err != nil {
		return nil, err
	}
	switch m := m.GetMessage().(type) {
	case *hansev1.SessionResponse_State:
		l.state = m.State
	case *hansev1.SessionResponse_Publisher:
		l.publisher = m.Publisher
	case *hansev1.SessionResponse_Dropped:
		delete(l.held, m.Dropped.GetOrigin())
	case *hansev1.SessionResponse_Import:
		b := m.Import
		if b.GetFull() {
			l.held[b.GetOrigin()] = map[string]string{}
		}
		held := l.held[b.GetOrigin()]
		if held == nil {
			l.t.Fatalf("a change of %s came before its full state", b.GetOrigin())
		}
		for _, r := range b.GetUpserts() {
			held[r.GetKey()] = string(r.GetRecord())
		}
		for _, key := range b.GetRemovals() {
			delete(held, key)
		}
	}
	return m, nil
}

// until reads until done.
func (l *link) until(what string, done func() bool) {
	l.t.Helper()
	for !done() {
		if _, err := l.next(); err != nil {
			l.t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

// find reads until a message has what is wanted.
func find[T any](l *link, want func(*hansev1.SessionResponse) *T) *T {
	l.t.Helper()
	for {
		m, err := l.next()
		if err != nil {
			l.t.Fatal(err)
		}
		if got := want(m); got != nil {
			return got
		}
	}
}

// ended reads until the stream's end.
func (l *link) ended() error {
	for {
		if _, err := l.next(); err != nil {
			return err
		}
	}
}

func (l *link) keys(origin string) []string { return slices.Sorted(maps.Keys(l.held[origin])) }

func (l *link) sees(origin string, keys ...string) {
	l.t.Helper()
	l.until(origin+" shows "+strings.Join(keys, ", "), func() bool { return slices.Equal(l.keys(origin), keys) })
}

func (l *link) sign(rec model.Record) *hansev1.SignedRecord {
	l.t.Helper()
	rec.Cluster, rec.Version = l.agent.name, l.version
	s, err := records.Sign(l.agent.key, rec)
	if err != nil {
		l.t.Fatal(err)
	}
	return &hansev1.SignedRecord{Key: s.Key, Record: s.Record, Signature: s.Signature}
}

func (l *link) service(namespace, name string) model.Record {
	return model.Record{Service: &model.ServiceRecord{
		Service:    model.ServiceKey{Namespace: namespace, Name: name},
		Ports:      []model.Port{{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}},
		Identities: []string{model.WorkloadID(l.agent.cluster.TrustDomain, namespace, name)},
		Capacity:   []model.Capacity{{Locality: model.Locality{Region: "eu"}, Ready: 1, Total: 1}},
	}}
}

func gateways() model.Record {
	return model.Record{Gateways: []model.Gateway{{Name: "gw", Address: "192.0.2.1", Port: 15443, Locality: model.Locality{Region: "eu"}}}}
}

// publish sends a batch that leads on from the last one; the first of an epoch is full.
func (l *link) publish(change func(*hansev1.Batch), recs ...model.Record) {
	l.t.Helper()
	b := &hansev1.Batch{
		Origin: string(l.agent.name), Full: l.version.Seq == 0, From: codec.VersionToProto(l.version),
		ProducedAt: timestamppb.New(start), Instance: l.instance,
	}
	l.version.Seq++
	b.To = codec.VersionToProto(l.version)
	for _, r := range recs {
		b.Upserts = append(b.Upserts, l.sign(r))
	}
	if change != nil {
		change(b)
	}
	l.send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Batch{Batch: b}})
}
