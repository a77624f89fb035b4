package vm

import (
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Attach registers the caller's workload for as long as the stream lives, and WithdrawTTL longer unless it was withdrawn.
func (s *Site) Attach(stream hansev1.SiteService_AttachServer) error {
	who, err := s.peer(stream.Context())
	if err != nil {
		return err
	}
	messages := receive(stream)
	var first received
	select {
	case first = <-messages:
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	if first.err != nil {
		return ended(first.err)
	}
	r := first.message.GetRegistration()
	if r == nil {
		return status.Error(codes.InvalidArgument, "the first message of an attach stream must be a registration")
	}
	protocol, err := negotiate(r)
	if err != nil {
		return err
	}
	a := newAttachment(who.id)
	if err := s.admit(who, a, r); err != nil {
		return err
	}
	defer s.detach(a)
	s.cfg.Logger.Info("proxy attached", "workload", who.id, "service", r.GetService(), "hanse_version", r.GetHanseVersion())
	welcome := &hansev1.AttachWelcome{Protocol: protocol, Cluster: string(s.cfg.Cluster), TrustDomain: s.cfg.TrustDomain}
	if err := stream.Send(&hansev1.AttachResponse{Message: &hansev1.AttachResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	return s.follow(stream, who, a, messages)
}

// follow lives as long as the stream.
func (s *Site) follow(stream hansev1.SiteService_AttachServer, who peer, a *attachment, messages <-chan received) error {
	for {
		select {
		case m := <-messages:
			if m.err != nil {
				return ended(m.err)
			}
			if done, err := s.handle(who, a, m.message); done || err != nil {
				return err
			}
		case <-a.wake:
			if err := s.tellProblems(stream, a); err != nil {
				return err
			}
		case err := <-a.end:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// handle applies one message; done says that the proxy has taken its workload out. Kinds that this build does not know are ignored.
func (s *Site) handle(who peer, a *attachment, m *hansev1.AttachRequest) (done bool, err error) {
	switch m := m.GetMessage().(type) {
	case *hansev1.AttachRequest_Registration:
		return false, s.admit(who, a, m.Registration)
	case *hansev1.AttachRequest_Health:
		s.setHealth(a, codec.WorkloadHealthFromProto(m.Health))
	case *hansev1.AttachRequest_Report:
		r := readReport(m.Report)
		s.update(a, func(e *entry) { e.report = r })
	case *hansev1.AttachRequest_Withdraw:
		s.withdraw(a)
		return true, nil
	}
	return false, nil
}

func (s *Site) admit(who peer, a *attachment, r *hansev1.Registration) error {
	s.locate(r)
	w, err := codec.WorkloadFromRegistration(r)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "registration: %v", err)
	}
	return s.register(who, a, w)
}

func (s *Site) tellProblems(stream hansev1.SiteService_AttachServer, a *attachment) error {
	problems, changed := s.newProblems(a)
	if !changed {
		return nil
	}
	a.sent = problems
	return stream.Send(&hansev1.AttachResponse{Message: &hansev1.AttachResponse_Problems{
		Problems: &hansev1.Problems{Problems: problems},
	}})
}

// negotiate picks the newest protocol that both sides speak.
func negotiate(r *hansev1.Registration) (uint32, error) {
	newest := min(r.GetProtocolMax(), model.ProtocolMax)
	if newest < max(r.GetProtocolMin(), model.ProtocolMin) {
		return 0, status.Errorf(codes.FailedPrecondition,
			"the proxy speaks protocols %d to %d, this agent %d to %d: upgrade the older of the two",
			r.GetProtocolMin(), r.GetProtocolMax(), model.ProtocolMin, model.ProtocolMax)
	}
	return newest, nil
}

type received struct {
	message *hansev1.AttachRequest
	err     error
}

// receive reads a stream until it fails, which is the last thing delivered, or until the stream's handler has returned.
func receive(stream hansev1.SiteService_AttachServer) <-chan received {
	out := make(chan received)
	go func() {
		for {
			m, err := stream.Recv()
			select {
			case out <- received{m, err}:
			case <-stream.Context().Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

// ended turns the end of a stream into the handler's result: a proxy that closes it in good order is no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
