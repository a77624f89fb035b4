package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// heartbeat is how often a batch leaves, with records or without.
	heartbeat = 2 * time.Second
	// epochPause is the least time between two epochs of one session, whoever asks for them.
	epochPause = time.Second
	// maxLeap bounds how far a node may move the epoch: a lie near the end of the range would silence the cluster for good.
	maxLeap = 1 << 32
)

// sender publishes on one stream. Only its own goroutine touches it.
type sender struct {
	*session
	// version is the last one sent; zero before the session's first batch, which is a full one.
	version model.Version
	// sent are the keys that the node holds of this cluster.
	sent    map[string]struct{}
	bundles int
	// beat is when the next batch is due; epochAt the earliest time of the next epoch.
	beat, epochAt time.Time
	// unheard is until when the node's first word about the publisher is waited for; zero once it has come.
	unheard time.Time
}

func newSender(s *session) *sender {
	return &sender{session: s, sent: map[string]struct{}{}, unheard: s.waitsForWord()}
}

// run sends whatever there is as soon as it is there: no timer stands in the way of a change.
func (s *sender) run(ctx context.Context) error {
	timer := s.up.cfg.Clock.NewTimer(heartbeat)
	defer timer.Stop()
	for {
		next, err := s.step(ctx)
		if err != nil {
			return err
		}
		timer.Reset(next.Sub(s.up.cfg.Clock.Now()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.up.want.wake:
		case <-timer.C():
		}
	}
}

// step sends what is due and returns when something will be even if nothing changes.
func (s *sender) step(ctx context.Context) (next time.Time, err error) {
	bundle, bundles := s.up.want.bundleSince(s.bundles)
	if bundle != nil {
		m := &hansev1.SessionRequest_Bundle{Bundle: codec.SignedBundleToProto(*bundle)}
		if err := s.send(ctx, &hansev1.SessionRequest{Message: m}); err != nil {
			return next, err
		}
	}
	s.bundles = bundles
	if err := s.hear(); err != nil {
		return next, err
	}
	origins, republish := s.requests.take()
	for _, origin := range origins {
		m := &hansev1.SessionRequest_Resync{Resync: &hansev1.ImportResync{Origin: string(origin)}}
		if err := s.send(ctx, &hansev1.SessionRequest{Message: m}); err != nil {
			return next, err
		}
	}
	if next, err = s.publish(ctx, republish); err != nil {
		return next, err
	}
	return next, s.answerQuestions(ctx)
}

// publish sends the batch that is due, if one is: the full state, a change, or a sign of life.
func (s *sender) publish(ctx context.Context, republish bool) (next time.Time, err error) {
	now := s.up.cfg.Clock.Now()
	complete, whole := s.up.want.ready()
	if !complete {
		return now.Add(heartbeat), nil
	}
	if now.Before(s.unheard) {
		return s.unheard, nil
	}
	if may, at := s.up.tenure.May(now); !may {
		return s.yield(ctx, now, at)
	}
	if s.version.IsZero() || whole || republish {
		if now.Before(s.epochAt) {
			return s.epochAt, nil
		}
		return now.Add(heartbeat), s.full(ctx, now)
	}
	upserts, removals := s.up.want.delta()
	batch := model.Batch{From: s.version, To: s.version}
	batch.To.Seq++
	batch.Upserts, batch.Removals = s.sign(upserts, batch.To), s.known(removals)
	if len(batch.Upserts)+len(batch.Removals) == 0 {
		if now.Before(s.beat) {
			return s.beat, nil
		}
		batch.To = batch.From
	}
	return now.Add(heartbeat), s.batch(ctx, batch, now)
}

// full begins an epoch with the whole state. An epoch that cannot be persisted is not used: publishing waits, the session goes on.
func (s *sender) full(ctx context.Context, now time.Time) error {
	s.epochAt = now.Add(epochPause)
	epoch, err := s.nextEpoch()
	if err != nil {
		return err
	}
	if epoch == 0 {
		return nil
	}
	s.requests.setRepublish(false)
	to := model.Version{Incarnation: s.welcome.GetIncarnation(), Epoch: epoch, Seq: 1}
	records, confirmed := s.up.want.all()
	clear(s.sent)
	batch := model.Batch{To: to, Full: true, Upserts: s.sign(records, to), Confirmed: confirmed}
	if len(records) > 0 && len(batch.Upserts) == 0 {
		return errors.New("no record could be signed; the full state is not sent")
	}
	if err := s.batch(ctx, batch, now); err != nil {
		return err
	}
	s.up.want.stated()
	s.leads()
	return nil
}

// nextEpoch returns an epoch that is larger than any this cluster has used, already persisted; 0 when the disk fails.
func (s *sender) nextEpoch() (uint64, error) {
	epoch, err := s.up.cfg.Epochs.LoadEpoch()
	if err == nil {
		for _, held := range []model.Version{codec.VersionFromProto(s.welcome.GetHeld()), s.up.tenure.Newest()} {
			if err := s.believable(held, epoch); err != nil {
				return 0, err
			}
			if held.Incarnation == s.welcome.GetIncarnation() {
				epoch = max(epoch, held.Epoch)
			}
		}
		epoch++
		err = s.up.cfg.Epochs.StoreEpoch(epoch)
	}
	if err != nil {
		s.up.cfg.Logger.Error("cannot persist the publishing epoch; nothing is published until it works", "error", err)
		s.up.note(func(st *Stats) { st.LastError = "persisting the epoch: " + err.Error() })
		return 0, nil
	}
	return epoch, nil
}

// sign signs records for the version that carries them first. One that cannot be signed is left out, so that it holds up no other.
func (s *sender) sign(records []model.Record, version model.Version) []model.SignedRecord {
	signed := make([]model.SignedRecord, 0, len(records))
	for _, r := range records {
		r.Version = version
		sr, err := s.up.cfg.Sign(r)
		if err == nil && len(sr.Record) > codec.MaxRecord {
			err = fmt.Errorf("it has %d bytes, %d are allowed, and nodes would refuse the batch with it", len(sr.Record), codec.MaxRecord)
		}
		if err != nil {
			s.up.cfg.Logger.Error("a record cannot be signed or sent; it is not published", "key", r.Key(), "error", err)
			continue
		}
		s.sent[sr.Key] = struct{}{}
		signed = append(signed, sr)
	}
	return signed
}

// known returns those keys that the node holds, and forgets them.
func (s *sender) known(removals []string) (known []string) {
	for _, key := range removals {
		if _, sent := s.sent[key]; sent {
			delete(s.sent, key)
			known = append(known, key)
		}
	}
	return known
}

// believable refuses a node's word about an epoch that this cluster cannot have reached from its own.
func (s *sender) believable(held model.Version, own uint64) error {
	if held.Incarnation == s.welcome.GetIncarnation() && held.Epoch > own && held.Epoch-own > maxLeap {
		return fmt.Errorf("the node claims epoch %d of this cluster, which is at %d: not believed", held.Epoch, own)
	}
	return nil
}

// batch publishes as the cluster.
func (s *sender) batch(ctx context.Context, b model.Batch, now time.Time) error {
	s.up.tenure = s.up.tenure.Publish(b.To)
	if err := s.state(ctx, b, now); err != nil {
		return err
	}
	s.version = b.To
	s.up.note(func(st *Stats) {
		st.Version, st.LastSent = b.To, now
		if b.Full {
			st.LastError = ""
		}
	})
	return nil
}

// state sends a batch. The times that batches state never go back, so that a clock which was set back does not look like silence.
func (s *sender) state(ctx context.Context, b model.Batch, now time.Time) error {
	if !now.After(s.up.produced) {
		now = s.up.produced.Add(time.Millisecond)
	}
	s.up.produced, s.beat = now, s.up.cfg.Clock.Now().Add(heartbeat)
	b.Origin, b.Instance, b.ProducedAt = s.up.cfg.Cluster, s.up.cfg.Instance, now
	m := &hansev1.SessionRequest_Batch{Batch: codec.BatchToProto(b)}
	return s.send(ctx, &hansev1.SessionRequest{Message: m})
}

func (s *sender) send(ctx context.Context, m *hansev1.SessionRequest) error {
	err := s.within(sendTimeout, "sending", func() error { return s.stream.Send(m) })
	if errors.Is(err, io.EOF) {
		// The stream has ended; the receiver knows why.
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}
