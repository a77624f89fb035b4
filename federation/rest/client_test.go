package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hanse-mesh/hanse/api/client"
)

// The generated client writes, reads and is refused as the description says.
func TestTheGeneratedClient(t *testing.T) {
	g := newGroup(t)
	server := httptest.NewServer(g.nodes["lead"])
	defer server.Close()
	c, err := client.NewClientWithResponses(server.URL, client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+g.operator.String())
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	rule := client.ExportRule{Spec: client.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"shop"}, To: []string{"*"}}}
	written, err := c.PutExportRuleWithResponse(t.Context(), "shop", &client.PutExportRuleParams{IfNoneMatch: "*"}, rule)
	if err != nil || written.JSON200 == nil || !written.JSON200.Changed {
		t.Fatalf("written: %+v, %v", written, err)
	}
	again, err := c.PutExportRuleWithResponse(t.Context(), "shop", &client.PutExportRuleParams{IfNoneMatch: "*"}, rule)
	if err != nil || again.ApplicationproblemJSONDefault == nil || again.ApplicationproblemJSONDefault.Status != http.StatusPreconditionFailed {
		t.Fatalf("written again: %+v, %v", again, err)
	}
	list, err := c.ListExportRulesWithResponse(t.Context(), &client.ListExportRulesParams{Limit: 10, Consistent: true})
	if err != nil || list.JSON200 == nil || len(list.JSON200.Items) != 1 || list.JSON200.Items[0].Name != "shop" || g.barriers != 1 {
		t.Fatalf("listed: %s, %v", list.Body, err)
	}
	wrong, err := c.GetExportRuleWithResponse(t.Context(), "Shop", nil)
	if err != nil || wrong.ApplicationproblemJSONDefault == nil || len(wrong.ApplicationproblemJSONDefault.Errors) == 0 {
		t.Fatalf("wrong: %s, %v", wrong.Body, err)
	}
	if f := wrong.ApplicationproblemJSONDefault.Errors[0]; f.Location != "path.name" {
		t.Errorf("the fault is at %s", f.Location)
	}
}
