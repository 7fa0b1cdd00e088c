package deploy_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

type panel struct {
	ID         int    `json:"id"`
	Title      string `json:"title"`
	Type       string `json:"type"`
	Datasource *struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	GridPos struct{ H, W, X, Y int } `json:"gridPos"`
	Targets []struct {
		Expr  string `json:"expr"`
		RefID string `json:"refId"`
	} `json:"targets"`
}

func TestDashboardShowsMetricsThatAreThere(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("grafana/drover.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		ID            *int    `json:"id"`
		UID           string  `json:"uid"`
		SchemaVersion int     `json:"schemaVersion"`
		Panels        []panel `json:"panels"`
		Templating    struct {
			List []struct{ Name, Type, Definition string } `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if d.ID != nil || d.UID != "drover-fleet" || d.SchemaVersion < 41 || len(d.Panels) < 20 {
		t.Errorf("id %v, uid %q, schema %d, %d panels", d.ID, d.UID, d.SchemaVersion, len(d.Panels))
	}
	if v := d.Templating.List; len(v) != 2 || v[0].Name != "datasource" || v[0].Type != "datasource" || v[1].Name != "job" {
		t.Errorf("its variables are %+v", v)
	}
	metrics, shown, ids := metricsOf(t), string(data), map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: id %d, at %+v", p.Title, p.ID, p.GridPos)
		}
		ids[p.ID] = true
		for y := range p.GridPos.H {
			for x := range p.GridPos.W {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource == nil || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s asks nobody, or one data source only", p.Title)
		}
		for _, target := range p.Targets {
			if err := wrong(metrics, target.Expr); err != nil {
				t.Errorf("%s: %v: %s", p.Title, err, target.Expr)
			}
		}
	}
	for name := range metrics {
		if strings.HasPrefix(name, "drover_") && !strings.Contains(shown, name) {
			t.Errorf("nothing shows %s", name)
		}
	}
}
