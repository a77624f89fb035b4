package snapshot

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// leaves calls visit for every settable value below v that is no struct, list or pointer, with a way to change it. Empty lists and
// nil pointers are filled first, so that no field is overlooked, also not one that is added later.
func leaves(v reflect.Value, path string, visit func(path string, change func())) {
	switch v.Kind() {
	case reflect.Struct:
		if addr, ok := v.Addr().Interface().(*netip.Addr); ok {
			visit(path, func() { *addr = addr.Next() })
			return
		}
		if at, ok := v.Addr().Interface().(*time.Time); ok {
			visit(path, func() { *at = at.Add(time.Second) })
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); !strings.HasSuffix(f.Name, "Digest") {
				leaves(v.Field(i), path+"."+f.Name, visit)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		for i := range v.Len() {
			leaves(v.Index(i), path+"[]", visit)
		}
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		leaves(v.Elem(), path, visit)
	case reflect.Map:
		visit(path, func() {
			grown := reflect.MakeMap(v.Type())
			grown.SetMapIndex(reflect.ValueOf("a key"), reflect.ValueOf("a value"))
			v.Set(grown)
		})
	case reflect.String:
		visit(path, func() { v.SetString(v.String() + "x") })
	case reflect.Bool:
		visit(path, func() { v.SetBool(!v.Bool()) })
	case reflect.Int32:
		visit(path, func() { v.SetInt(v.Int() + 1) })
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		visit(path, func() { v.SetUint(v.Uint() + 1) })
	default:
		panic("a kind of field that the test does not know: " + path)
	}
}

// Every field of a part must count for its digest: a field that did not would be reused when it is stale.
func TestDigestsCoverEveryField(t *testing.T) {
	var d digester
	check := func(part any, digest func() string) {
		root := reflect.ValueOf(part).Elem()
		seen := 0
		leaves(root, root.Type().Name(), func(path string, change func()) {
			before := digest()
			change()
			if digest() == before {
				t.Errorf("%s does not count for the digest", path)
			}
			seen++
		})
		if seen < 3 {
			t.Errorf("%T: only %d fields found", part, seen)
		}
	}
	p := &ServicePort{VIP: netip.MustParseAddr("127.64.0.1")}
	check(p, func() string {
		for i := range p.Assignments {
			p.Assignments[i].Digest = d.localAssignment(p.SNI, p.Assignments[i])
		}
		_, all := d.servicePort(p)
		return all
	})
	w := &Workload{}
	check(w, func() string { return d.workload(w) })
	pt := &Passthrough{}
	check(pt, func() string { return d.passthrough(pt) })
	tm := &Terminated{}
	check(tm, func() string { return d.terminated(tm) })
	tr := &Trust{}
	check(tr, func() string { return d.trust(tr) })
	s := &Snapshot{Services: []*ServicePort{}, Trust: &Trust{}}
	check(&struct {
		Federation  *string
		Cluster     *model.ClusterName
		TrustDomain *string
		Problems    *[]string
	}{&s.Federation, &s.Cluster, &s.TrustDomain, &s.Problems}, func() string { return d.snapshot(s) })
}

func TestConfigDigestLeavesAssignmentsOut(t *testing.T) {
	in := base()
	before := Build(in).Services[0]
	in.Imports[0].Record.Capacity[0].Ready = 0
	after := Build(in).Services[0]
	if before.ConfigDigest != after.ConfigDigest {
		t.Error("a capacity counts for the configuration")
	}
	if before.Digest == after.Digest {
		t.Error("a capacity does not count for the service port")
	}
}

// Neighbouring strings must not run into each other.
func TestEncodingIsUnambiguous(t *testing.T) {
	var d digester
	a := d.passthrough(&Passthrough{SNI: "ab", Endpoints: []route.Endpoint{{Address: "c"}}})
	b := d.passthrough(&Passthrough{SNI: "a", Endpoints: []route.Endpoint{{Address: "bc"}}})
	if a == b {
		t.Error("two contents share a digest")
	}
}
