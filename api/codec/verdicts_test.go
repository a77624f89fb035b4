package codec

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

func verdictsOf(vs ...model.Verdict) model.Record {
	return model.Record{
		Cluster: "eu", Version: model.Version{Incarnation: 1, Epoch: 2, Seq: 3},
		Verdicts: &model.VerdictSet{Cluster: "us", Verdicts: vs},
	}
}

func TestVerdictsRoundTrip(t *testing.T) {
	want := verdictsOf(
		model.Verdict{Gateway: "gw-1", Address: "10.0.0.1", Port: 7722, Bad: true, Since: time.Unix(9, 5).UTC()},
		model.Verdict{Gateway: "gw-2", Address: "fd00::1", Port: 7722, Since: time.Unix(8, 0).UTC()},
	)
	data, err := MarshalRecord(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := UnmarshalRecord(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if judged, ok := model.CutVerdictKey(got.Key()); !ok || judged != "us" {
		t.Errorf("key %q names %q, %v", got.Key(), judged, ok)
	}
}

func TestVerdictsThatMakeNoSenseAreRefused(t *testing.T) {
	good := model.Verdict{Gateway: "gw-1", Address: "10.0.0.1", Port: 1}
	with := func(change func(*model.Verdict)) model.Verdict {
		v := good
		change(&v)
		return v
	}
	for says, r := range map[string]model.Record{
		"judged twice":       verdictsOf(good, with(func(v *model.Verdict) { v.Bad = true })),
		"not an IP address":  verdictsOf(with(func(v *model.Verdict) { v.Address = "gw.example.org" })),
		"and port 0":         verdictsOf(with(func(v *model.Verdict) { v.Port = 0 })),
		"gateway":            verdictsOf(with(func(v *model.Verdict) { v.Gateway = "No Label" })),
		"more than 1024":     verdictsOf(make([]model.Verdict, MaxVerdicts+1)...),
		"verdicts record of": {Cluster: "eu", Verdicts: &model.VerdictSet{Cluster: "NO"}},
	} {
		data, err := MarshalRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := UnmarshalRecord(data); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error that says %q, got %v", says, err)
		}
	}
}
