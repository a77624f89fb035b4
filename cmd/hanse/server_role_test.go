package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/token"
)

func TestANodeKeepsTheRoleInWhichItJoined(t *testing.T) {
	for _, c := range []struct {
		joined, asked, given, refused bool
	}{
		{joined: false},
		{joined: true},
		{joined: true, asked: true, given: true},
		{joined: false, asked: true, given: true, refused: true},
		{joined: true, asked: false, given: true, refused: true},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			p := &serverParts{opts: serverOptions{dataDir: "/data", roleGiven: c.given}, node: model.Node{Name: "n", Replica: c.asked}}
			err := p.takeRole(nodeIdentity{Name: "n", Replica: c.joined})
			if p.node.Replica != c.joined {
				t.Error("the flag has changed the role")
			}
			var coded codedError
			switch {
			case !c.refused && err != nil:
				t.Error(err)
			case c.refused && (!errors.As(err, &coded) || coded.code != exitUsage || !strings.Contains(err.Error(), "leave --replica out")):
				t.Errorf("it says %v", err)
			}
		})
	}
}

// A federation may have more nodes than a token has room for.
func TestATokenNamesSomeNodesVotersFirst(t *testing.T) {
	v := &state.View{Federation: "example.org", Root: []byte("root"), Nodes: map[string]model.Node{}}
	for i := range 50 {
		name := fmt.Sprintf("n%02d", i)
		v.Nodes[name] = model.Node{Name: name, Replica: i < 47, GRPCAddress: name + ":7700", RESTAddress: name + ":7701"}
	}
	p := &serverParts{}
	for kind, port := range map[model.TokenKind]string{model.TokenOperator: ":7701", model.TokenCluster: ":7700"} {
		kept, text, err := p.mint(kind, v)
		if err != nil {
			t.Fatal(err)
		}
		made, err := token.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(kept.SecretHash, token.Hash(made.Secret)) || len(made.Addresses) != tokenAddresses {
			t.Errorf("%s: %+v", kind, made)
		}
		for i, name := range []string{"n47", "n48", "n49", "n00"} {
			if made.Addresses[i] != name+port {
				t.Errorf("%s: address %d is %s, not %s", kind, i, made.Addresses[i], name+port)
			}
		}
	}
}
