package state

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// The generators draw from few names, so that commands meet.

func genName(kind string) *rapid.Generator[string] {
	return rapid.Map(rapid.IntRange(1, 3), func(i int) string { return fmt.Sprintf("%s-%d", kind, i) })
}

func genNode() *rapid.Generator[model.Node] {
	return rapid.Custom(func(t *rapid.T) model.Node {
		n := model.Node{Name: genName("n").Draw(t, "node"), Region: "eu", ProtocolMax: 1, CommandMax: rapid.SampledFrom([]uint32{2, 2, 2, 0}).Draw(t, "commandMax")}
		n.Replica = rapid.Bool().Draw(t, "replica")
		n.GRPCAddress = n.Name + ":1"
		n.RaftAddress = genName("raft").Draw(t, "raft") + ":2"
		return n
	})
}

func genToken() *rapid.Generator[model.Token] {
	return rapid.Custom(func(t *rapid.T) model.Token {
		k := model.Token{
			ID:         genName("t").Draw(t, "id"),
			Kind:       rapid.SampledFrom([]model.TokenKind{model.TokenCluster, model.TokenCluster, model.TokenNode, model.TokenOperator}).Draw(t, "kind"),
			SecretHash: hash("secret"),
			CreatedAt:  clockTime(0),
			ExpiresAt:  clockTime(rapid.IntRange(5, 50).Draw(t, "until")),
		}
		if k.Kind == model.TokenCluster {
			k.ClusterPrefix = "c-"
			k.ExportNamespaces = rapid.SampledFrom([][]string{nil, {"*"}, {"a", "b"}}).Draw(t, "exports")
		}
		return k
	})
}

func genPolicy() *rapid.Generator[Command] {
	return rapid.Custom(func(t *rapid.T) Command {
		name := genName("p").Draw(t, "name")
		texts := []string{`{"name":%q,"spec":{}}`, `{"name":%q,"spec":{"services":["<a>"]}}`, `{"name":%q,"spec":{"to":["*"],"from":[]}}`, `{"name":%q,"spec":`}
		return PutPolicy{
			Kind: genPolicyKind().Draw(t, "kind"), Name: name,
			JSON: fmt.Appendf(nil, rapid.SampledFrom(texts).Draw(t, "json"), name),
		}
	})
}

func genPolicyKind() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"FailoverPolicy", "ExportRule", "ImportRule", "RoleBinding", "IdentityProvider", "Nonsense"})
}

func genDeletePolicy() *rapid.Generator[DeletePolicy] {
	return rapid.Custom(func(t *rapid.T) DeletePolicy {
		return DeletePolicy{Kind: genPolicyKind().Draw(t, "kind"), Name: genName("p").Draw(t, "name")}
	})
}

func genPolicySet() *rapid.Generator[Command] {
	return rapid.Custom(func(t *rapid.T) Command {
		var set ApplyPolicies
		for _, c := range rapid.SliceOfN(genPolicy(), 0, 3).Draw(t, "put") {
			set.Put = append(set.Put, c.(PutPolicy))
		}
		set.Delete = append(set.Delete, rapid.SliceOfN(genDeletePolicy(), 0, 2).Draw(t, "delete")...)
		return set
	})
}

func genMemberCommand() *rapid.Generator[Command] {
	return rapid.Custom(func(t *rapid.T) Command {
		cluster := model.ClusterName(genName("c").Draw(t, "cluster"))
		key := genName("key").Draw(t, "key")
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0, 1, 2:
			return JoinCluster{TokenID: genName("t").Draw(t, "token"), SecretHash: hash("secret"), Cluster: cluster, AgentKey: []byte(key)}
		case 3:
			return RemoveCluster{Name: cluster}
		default:
			return PutBundle{Cluster: cluster, Bundle: signed(string(cluster)+".hanse", rapid.IntRange(1, 4).Draw(t, "sequence"))}
		}
	})
}

func genCommand() *rapid.Generator[Command] {
	return rapid.OneOf(
		rapid.Map(genNode(), func(n model.Node) Command { return PutNode{Node: n} }),
		rapid.Map(genName("n"), func(n string) Command { return RemoveNode{Name: n} }),
		rapid.Map(genToken(), func(k model.Token) Command { return CreateToken{Token: k} }),
		rapid.Map(genName("t"), func(id string) Command { return RevokeToken{ID: id} }),
		rapid.Custom(func(t *rapid.T) Command {
			return RedeemNodeToken{TokenID: genName("t").Draw(t, "token"), SecretHash: hash("secret"), KeyHash: hash(genName("key").Draw(t, "key")), Node: genNode().Draw(t, "node")}
		}),
		genMemberCommand(), genMemberCommand(), genMemberCommand(),
		genPolicy(),
		genPolicySet(),
		rapid.Map(genDeletePolicy(), func(d DeletePolicy) Command { return d }),
		rapid.Map(genName("w"), func(name string) Command {
			return RecordDeed{Ref: model.Ref{Kind: model.KindWorkload, Name: name}, After: []byte(`{}`)}
		}),
	)
}

// genLog draws entries at indexes 1, 2, …; the first initialises the federation.
func genLog() *rapid.Generator[[]Entry] {
	return rapid.Custom(func(t *rapid.T) []Entry {
		log := []Entry{{Version: 1, At: clockTime(0), Command: InitFederation{
			Name: "hanse", Root: []byte("root"),
			Node:          model.Node{Name: "n-0", GRPCAddress: "n-0:1", RaftAddress: "n-0:2", CommandMax: 1},
			OperatorToken: model.Token{ID: "op", Kind: model.TokenOperator, SecretHash: hash("op")},
		}}}
		for _, c := range rapid.SliceOfN(genCommand(), 0, 60).Draw(t, "commands") {
			e := Entry{Version: 1, At: clockTime(rapid.IntRange(0, 59).Draw(t, "at")), Command: c}
			if rapid.Bool().Draw(t, "by somebody") {
				e.Version, e.Actor = recorded, model.Actor{Name: genName("who").Draw(t, "actor"), Credential: "token t-1"}
			}
			if rapid.IntRange(0, 4).Draw(t, "conditional") == 0 {
				ref := model.Ref{Kind: genPolicyKind().Draw(t, "kind"), Name: genName("p").Draw(t, "name")}
				e.Version, e.Expect = recorded, []Expectation{{Ref: ref, Index: rapid.Uint64Range(0, 8).Draw(t, "expected")}}
			}
			log = append(log, e)
		}
		return log
	})
}

func replay(t *rapid.T, s *State, first int, log []Entry) *View {
	for i, e := range log {
		if r := s.Apply(uint64(first+i+1), e); r.Fatal != nil {
			t.Fatalf("entry %d: %v", first+i+1, r.Fatal)
		}
	}
	return s.View()
}

func snapshot(t *rapid.T, v *View) []byte {
	data, err := v.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSameLogGivesSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := genLog().Draw(t, "log")
		a := snapshot(t, replay(t, New(fakeRule), 0, log))
		// The second replay takes a view after every entry, so that it copies where the first one changes in place.
		s := New(fakeRule)
		for i, e := range log {
			s.Apply(uint64(i+1), e)
			s.View()
		}
		if b := snapshot(t, s.View()); !bytes.Equal(a, b) {
			t.Fatal("two replays of one log differ")
		}
	})
}

func TestRestoreAnywhereEqualsReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := genLog().Draw(t, "log")
		cut := rapid.IntRange(0, len(log)).Draw(t, "cut")
		straight := replay(t, New(fakeRule), 0, log)
		held, err := FromSnapshot(snapshot(t, replay(t, New(fakeRule), 0, log[:cut])))
		if err != nil {
			t.Fatal(err)
		}
		resumed := replay(t, Restore(held, fakeRule), cut, log[cut:])
		if !bytes.Equal(snapshot(t, straight), snapshot(t, resumed)) {
			t.Fatalf("restoring at %d of %d differs from a straight replay", cut, len(log))
		}
	})
}

func TestViewsAreImmutable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(fakeRule)
		var views []*View
		var bytesThen [][]byte
		for i, e := range genLog().Draw(t, "log") {
			s.Apply(uint64(i+1), e)
			if rapid.Bool().Draw(t, "look") {
				v := s.View()
				views, bytesThen = append(views, v), append(bytesThen, snapshot(t, v))
			}
		}
		for i, v := range views {
			if !bytes.Equal(snapshot(t, v), bytesThen[i]) {
				t.Fatalf("a later entry changed the view at index %d", v.Index)
			}
		}
	})
}

// A token, once bound, stays bound to its key and name for as long as it exists, and a member's key changes only by removal.
func TestTokensBindOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(fakeRule)
		var before *View
		for i, e := range genLog().Draw(t, "log") {
			s.Apply(uint64(i+1), e)
			after := s.View()
			if before != nil {
				checkBindings(t, before, after)
			}
			before = after
		}
	})
}

func checkBindings(t *rapid.T, before, after *View) {
	for id, old := range before.Tokens {
		next, ok := after.Tokens[id]
		if ok && len(old.BoundKey) > 0 && (!bytes.Equal(old.BoundKey, next.BoundKey) || old.BoundName != next.BoundName) {
			t.Fatalf("token %s went from %s to %s", id, old.BoundName, next.BoundName)
		}
		if ok && old.Revoked && !next.Revoked {
			t.Fatalf("token %s is no longer revoked", id)
		}
	}
	for name, old := range before.Clusters {
		next, ok := after.Clusters[name]
		if ok && (next.Incarnation != old.Incarnation || !bytes.Equal(next.AgentKey, old.AgentKey)) {
			t.Fatalf("cluster %s changed its key or incarnation without leaving", name)
		}
	}
	domains := map[string]model.ClusterName{}
	for name, c := range after.Clusters {
		if other, taken := domains[c.TrustDomain]; taken {
			t.Fatalf("clusters %s and %s share the trust domain %s", name, other, c.TrustDomain)
		}
		domains[c.TrustDomain] = name
	}
	for domain := range after.Bundles {
		if _, ok := domains[domain]; !ok {
			t.Fatalf("the bundle of %s outlived its cluster", domain)
		}
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(fakeRule)
		for i, e := range genLog().Draw(t, "log") {
			before := s.View()
			r := s.Apply(uint64(i+1), e)
			after := s.View()
			after.Index = before.Index
			same := bytes.Equal(snapshot(t, before), snapshot(t, after))
			if same == r.Changed || r.Err != nil && r.Changed {
				t.Fatalf("%#v: changed=%t err=%v, but the state is the same: %t", e.Command, r.Changed, r.Err, same)
			}
		}
	})
}

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, e := range genLog().Draw(t, "log") {
			data, err := MarshalEntry(e)
			if err != nil {
				t.Fatal(err)
			}
			got, err := UnmarshalEntry(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, e) {
				t.Fatalf("%#v became %#v", e, got)
			}
		}
	})
}

func TestUnmarshalEntryNeverPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "mutate") {
			log := genLog().Draw(t, "log")
			data, _ = MarshalEntry(rapid.SampledFrom(log).Draw(t, "entry"))
			data[rapid.IntRange(0, len(data)-1).Draw(t, "place")] ^= rapid.Byte().Draw(t, "flip")
		}
		if e, err := UnmarshalEntry(data); err == nil {
			New(fakeRule).Apply(1, e)
		}
		_, _ = FromSnapshot(data)
	})
}

func TestNewerVersionsAreFatal(t *testing.T) {
	s := New(fakeRule)
	if r := s.Apply(1, Entry{Version: model.CommandVersion + 1, Command: RevokeToken{ID: "t"}}); r.Fatal == nil {
		t.Error("an entry of a newer command version was applied")
	}
	if s.View().Index != 0 {
		t.Error("a fatal entry moved the index")
	}
	if _, err := MarshalEntry(Entry{Version: model.CommandVersion + 1, At: clockTime(0), Command: RevokeToken{ID: "t"}}); err == nil {
		t.Error("an entry that this build cannot apply was encoded")
	}
	s.Apply(1, Entry{Version: 1, Command: RevokeToken{ID: "t"}})
	if r := s.Apply(1, Entry{Version: 1, Command: RevokeToken{ID: "t"}}); r.Fatal == nil {
		t.Error("the same index was applied twice")
	}
}

func TestEntriesAreBounded(t *testing.T) {
	_, err := MarshalEntry(Entry{Version: 1, At: clockTime(0), Command: PutPolicy{Kind: "ExportRule", Name: "p", JSON: make([]byte, MaxEntry)}})
	if CodeOf(err) != Invalid {
		t.Errorf("an entry above the bound gives %v", err)
	}
}

func TestCommandVersionIsTheSlowestNodes(t *testing.T) {
	v := New(fakeRule).View()
	if v.CommandVersion() != model.CommandVersion {
		t.Errorf("without nodes: %d", v.CommandVersion())
	}
	v.Nodes["a"], v.Nodes["b"] = model.Node{CommandMax: 0}, model.Node{CommandMax: math.MaxUint32}
	if v.CommandVersion() != 0 {
		t.Errorf("with a node that knows version 0: %d", v.CommandVersion())
	}
}

func TestCheckToken(t *testing.T) {
	v := New(fakeRule).View()
	v.Tokens["t"] = model.Token{ID: "t", Kind: model.TokenOperator, SecretHash: hash("s"), ExpiresAt: clockTime(10)}
	if _, err := v.CheckToken("t", hash("s"), model.TokenOperator, clockTime(9)); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"secret": second(v.CheckToken("t", hash("x"), model.TokenOperator, clockTime(9))),
		"kind":   second(v.CheckToken("t", hash("s"), model.TokenNode, clockTime(9))),
		"end":    second(v.CheckToken("t", hash("s"), model.TokenOperator, clockTime(10))),
		"id":     second(v.CheckToken("", nil, model.TokenOperator, clockTime(9))),
	} {
		if CodeOf(err) != Denied {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
