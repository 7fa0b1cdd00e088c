package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// metricsOf are the labels of every metric by the tables of docs/settings.md,
// which a script of cmd/enqueue holds to what a worker tells.
func metricsOf(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string][]string{"up": nil, "process_start_time_seconds": nil, "process_resident_memory_bytes": nil, "process_cpu_seconds_total": nil}
	for _, row := range regexp.MustCompile("(?m)^\\| (`drover_.*?) \\| (.*?)\\|").FindAllStringSubmatch(string(page), -1) {
		for _, name := range regexp.MustCompile(`drover_\w+`).FindAllString(row[1], -1) {
			metrics[name] = regexp.MustCompile(`\w+`).FindAllString(row[2], -1)
		}
	}
	metrics["drover_call_seconds_bucket"] = append(metrics["drover_call_seconds"], "le")
	return metrics
}

// places are labels that Prometheus adds.
var places = []string{"job", "instance", "pod"}

var (
	named    = regexp.MustCompile(`(\b(?:drover|process)_\w+|\bup\b)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	grouping = regexp.MustCompile(`\b(?:by|without|on) \(([^)]*)\)`)
)

// wrong is what an expression names that is not there, or nothing.
func wrong(metrics map[string][]string, expr string) error {
	of := slices.Clone(places)
	found := named.FindAllStringSubmatch(expr, -1)
	for _, m := range found {
		labels, there := metrics[m[1]]
		if !there {
			return fmt.Errorf("there is no metric %s", m[1])
		}
		of = append(of, labels...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) && !slices.Contains(places, l[1]) {
				return fmt.Errorf("%s has no label %s", m[1], l[1])
			}
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("it names no metric")
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(g[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(of, l) {
				return fmt.Errorf("none of its metrics has a label %s", l)
			}
		}
	}
	return nil
}

func TestWhatIsNotThereIsFoundInExpressions(t *testing.T) {
	t.Parallel()
	metrics := metricsOf(t)
	if len(metrics) < 25 {
		t.Fatalf("found %d metrics only", len(metrics))
	}
	for expr, fine := range map[string]bool{
		`sum by (le, model) (rate(drover_call_seconds_bucket{model="m"}[5m]))`: true,
		`drover_ready{job=~"$job"} == 0`:                                       true,
		`drover_reddy == 0`:                                                    false,
		`drover_ready{model="m"}`:                                              false,
		`sum by (model) (drover_ready)`:                                        false,
		`sum(up)`:                                                              true, `1`: false,
	} {
		if err := wrong(metrics, expr); (err == nil) != fine {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []alert {
	t.Helper()
	data, err := os.ReadFile("prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(data, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) < 10 {
		t.Fatalf("found few alerts: %+v", file)
	}
	return file.Groups[0].Rules
}

func TestAlertsNameMetricsThatAreThereAndSayWhatToDo(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^##+ (.*)$`).FindAllStringSubmatch(string(page), -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors[strings.ReplaceAll(plain, " ", "-")] = true
	}
	tested, err := os.ReadFile("prometheus/alerts.test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	metrics := metricsOf(t)
	for _, a := range alerts(t) {
		if err := wrong(metrics, a.Expr); err != nil {
			t.Errorf("%s: %v", a.Alert, err)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s does not say how bad it is, or what to do: %+v", a.Alert, a)
		}
		section, ok := strings.CutPrefix(a.Annotations["runbook_url"], "https://github.com/drover-batch/drover/blob/main/docs/operating.md#")
		if !ok || !anchors[section] {
			t.Errorf("%s leads to %s, which is no section", a.Alert, a.Annotations["runbook_url"])
		}
		if !strings.Contains(string(page), "`"+a.Alert+"`") {
			t.Errorf("docs/operating.md does not have %s", a.Alert)
		}
		if strings.Count(string(tested), "alertname: "+a.Alert+"\n        exp_alerts:") != 1 || !strings.Contains(string(tested), "alertname: "+a.Alert+"}") {
			t.Errorf("alerts.test.yaml does not have %s both raised and silent", a.Alert)
		}
	}
}

func TestPrometheusRaisesTheAlerts(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool on the PATH")
	}
	for _, args := range [][]string{{"test", "rules", "alerts.test.yaml"}, {"check", "config", "prometheus.yaml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
}

func TestAutoscalersReadAMetricThatIsThere(t *testing.T) {
	t.Parallel()
	metrics := metricsOf(t)
	for _, name := range []string{"kubernetes/autoscaling/keda.yaml", "kubernetes/autoscaling/hpa.yaml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := wrong(metrics, string(data)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(string(data), "kind: StatefulSet, name: worker}") {
			t.Errorf("%s does not scale the workers", name)
		}
	}
}
