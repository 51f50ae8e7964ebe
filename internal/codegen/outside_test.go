package codegen

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/spec/appfile"
)

func TestWhatReachesOutsideIsDescribed(t *testing.T) {
	sp, findings := appfile.Parse(map[string][]byte{appfile.Name: []byte(`
app: a
secrets: [SHIPPING_KEY]
proxies:
  # What it costs to send.
  shipping:
    url: https://api.example.com/v2
    routes: [GET /rates, "DELETE /labels/{id}", POST /labels]
    headers: {Authorization: "Bearer ${SHIPPING_KEY}"}
    allow: true
`)})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	text := OpenAPI(sp)
	var doc struct {
		Paths map[string]map[string]struct {
			Summary    string
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	one := doc.Paths["/api/proxy/shipping/labels/{id}"]["delete"]
	if len(one.Parameters) != 1 || one.Parameters[0].Name != "id" || one.Parameters[0].In != "path" ||
		doc.Paths["/api/proxy/shipping/rates"]["get"].Summary == "" ||
		doc.Paths["/api/proxy/shipping/labels"]["post"].Summary == "" {
		t.Errorf("got %+v", doc.Paths)
	}
	// Where we ask, and with what, is not our callers' to know.
	if strings.Contains(string(text), "SHIPPING_KEY") || strings.Contains(string(text), "example.com") {
		t.Error("the document tells of the server behind")
	}
	schema := string(EditorSchema(sp))
	for _, word := range []string{`"webhooks"`, `"deliveries"`, `"proxies"`, `"SHIPPING_KEY"`, `"hmac-sha256"`} {
		if !strings.Contains(schema, word) {
			t.Errorf("the schema does not know %s", word)
		}
	}
}
