package state

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// A transcript is a file of lines "COMMAND key=value…", each followed by its results, indented. "at" is the minute of the hour.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runTranscript(t, want)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("the transcript differs (rewrite it with -update and read the change):\n%s", firstDifference(want, got))
			}
		})
	}
}

func runTranscript(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	s := New(fakeRule)
	index := uint64(0)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "    "):
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
			continue
		}
		fmt.Fprintln(&out, line)
		name, args := parseLine(t, line)
		if name == "show" {
			show(&out, s.View())
			continue
		}
		index++
		printResult(&out, s.Apply(index, Entry{Version: 1, At: args.at(t), Command: command(t, name, args)}))
	}
	return out.Bytes()
}

func printResult(out *bytes.Buffer, r Result) {
	var e *Error
	switch {
	case r.Fatal != nil:
		fmt.Fprintf(out, "    fatal: %v\n", r.Fatal)
	case errors.As(r.Err, &e):
		fmt.Fprintf(out, "    %s: %s\n", e.Code, e.Message)
	case !r.Changed:
		fmt.Fprint(out, "    unchanged")
	default:
		fmt.Fprint(out, "    ok")
	}
	if r.Err != nil || r.Fatal != nil {
		return
	}
	if r.Cluster.Name != "" {
		fmt.Fprintf(out, " cluster=%s incarnation=%d domain=%s exports=%s", r.Cluster.Name, r.Cluster.Incarnation, r.Cluster.TrustDomain, strings.Join(r.Cluster.ExportNamespaces, ","))
	}
	fmt.Fprintln(out)
}

func show(out *bytes.Buffer, v *View) {
	fmt.Fprintf(out, "    index=%d federation=%s\n", v.Index, v.Federation)
	for _, n := range v.NodeList() {
		fmt.Fprintf(out, "    node %s raft=%s\n", n.Name, n.RaftAddress)
	}
	for _, c := range v.ClusterList() {
		_, bundle := v.Bundles[c.TrustDomain]
		fmt.Fprintf(out, "    cluster %s incarnation=%d domain=%s bundle=%t\n", c.Name, c.Incarnation, c.TrustDomain, bundle)
	}
	for _, k := range v.TokenList() {
		fmt.Fprintf(out, "    token %s %s bound=%q revoked=%t\n", k.ID, k.Kind, k.BoundName, k.Revoked)
	}
	for _, p := range v.Proto(false).GetPolicies() {
		fmt.Fprintf(out, "    policy %s/%s changed-at=%d %s\n", p.GetKind(), p.GetName(), p.GetModifiedIndex(), p.GetJson())
	}
}

type arguments map[string]string

func parseLine(t *testing.T, line string) (string, arguments) {
	t.Helper()
	fields := strings.Fields(line)
	args := arguments{}
	for _, f := range fields[1:] {
		k, v, ok := strings.Cut(f, "=")
		if !ok {
			t.Fatalf("%q: %q is not key=value", line, f)
		}
		args[k] = v
	}
	return fields[0], args
}

func (a arguments) at(t *testing.T) time.Time { return clockTime(a.number(t, "at")) }

func (a arguments) number(t *testing.T, key string) int {
	t.Helper()
	n, err := strconv.Atoi(a[key])
	if err != nil && a[key] != "" {
		t.Fatal(err)
	}
	return n
}

func clockTime(minute int) time.Time { return time.Date(2026, 1, 1, 12, minute, 0, 0, time.UTC) }

func hash(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:] }

func command(t *testing.T, name string, a arguments) Command {
	t.Helper()
	node := model.Node{Name: a["node"], GRPCAddress: a["node"] + ":7443", RaftAddress: a["raft"], ProtocolMin: 1, ProtocolMax: 1, CommandMax: 1, Replica: a["role"] == "replica"}
	if node.RaftAddress == "" {
		node.RaftAddress = a["node"] + ":7444"
	}
	switch name {
	case "init":
		return InitFederation{Name: a["federation"], Root: []byte("root"), Node: node, OperatorToken: model.Token{ID: "op", Kind: model.TokenOperator, SecretHash: hash("op")}}
	case "put-node":
		return PutNode{Node: node}
	case "remove-node":
		return RemoveNode{Name: a["node"]}
	case "create-token":
		k := model.Token{ID: a["id"], Kind: model.TokenKind(a["kind"]), SecretHash: hash(a["secret"]), Cluster: a["cluster"], ClusterPrefix: a["prefix"]}
		if a["until"] != "" {
			k.ExpiresAt = clockTime(a.number(t, "until"))
		}
		if a["exports"] != "" {
			k.ExportNamespaces = strings.Split(a["exports"], ",")
		}
		return CreateToken{Token: k}
	case "revoke-token":
		return RevokeToken{ID: a["id"]}
	case "redeem-node-token":
		return RedeemNodeToken{TokenID: a["id"], SecretHash: hash(a["secret"]), KeyHash: hash(a["key"]), Node: node}
	case "join":
		return JoinCluster{TokenID: a["id"], SecretHash: hash(a["secret"]), Cluster: model.ClusterName(a["cluster"]), TrustDomain: a["domain"], AgentKey: []byte(a["key"])}
	case "remove-cluster":
		return RemoveCluster{Name: model.ClusterName(a["cluster"])}
	case "put-bundle":
		return PutBundle{Cluster: model.ClusterName(a["cluster"]), Bundle: signed(a["domain"], a.number(t, "sequence"))}
	case "put-policy":
		return PutPolicy{Kind: a["kind"], Name: a["name"], JSON: []byte(a["json"])}
	case "delete-policy":
		return DeletePolicy{Kind: a["kind"], Name: a["name"]}
	case "from-the-future":
		return nil
	}
	t.Fatalf("unknown command %q", name)
	return nil
}

// signed is a bundle that the fake rule reads; its one signature is nobody's.
func signed(domain string, sequence int) model.SignedBundle {
	statement, err := codec.MarshalBundle(model.Bundle{TrustDomain: domain, Sequence: uint64(sequence), Roots: [][]byte{[]byte("root")}})
	if err != nil {
		panic(err)
	}
	return model.SignedBundle{Statement: statement, Signatures: []model.BundleSignature{{KeyHash: hash("ca"), Signature: []byte("s")}}}
}

// fakeRule wants a higher sequence.
func fakeRule(held *model.SignedBundle, next model.SignedBundle) (model.Bundle, error) {
	b, err := codec.UnmarshalBundle(next.Statement)
	if err != nil {
		return model.Bundle{}, err
	}
	if held != nil {
		old, err := codec.UnmarshalBundle(held.Statement)
		if err != nil {
			return model.Bundle{}, err
		}
		if b.Sequence <= old.Sequence {
			return model.Bundle{}, fmt.Errorf("sequence %d is not above %d", b.Sequence, old.Sequence)
		}
	}
	return b, nil
}

func firstDifference(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d:\n- %s\n+ %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("%d lines became %d", len(w), len(g))
}
