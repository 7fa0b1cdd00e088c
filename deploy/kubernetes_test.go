package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/ops"
)

func TestKustomizationsHaveEveryFileAndNoOther(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	listed := map[string]bool{
		"kubernetes/secrets.example.yaml": true, // applied by nobody
		"kubernetes/autoscaling/hpa.yaml": true, // instead of keda.yaml
	}
	for dir, k := range m.roots {
		names := slices.Clone(k.Resources)
		for _, p := range k.Patches {
			names = append(names, p.Path)
		}
		for _, c := range k.ConfigMapGenerator {
			names = append(names, c.Files...)
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s/kustomization.yaml: %v", dir, err)
			}
			listed[path] = true
		}
	}
	for file := range m.all {
		if !listed[file] {
			t.Errorf("%s is in no kustomization", file)
		}
	}
	data, err := os.ReadFile("kubernetes/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for dir, k := range m.roots {
		if k.Kind == "Component" && !strings.Contains(string(data), "\n#   - "+filepath.Base(dir)+" ") {
			t.Errorf("kubernetes/kustomization.yaml does not offer %s", dir)
		}
	}
}

// With kubectl on the PATH it has to agree, with all components and without.
func TestKustomizeBuildsIt(t *testing.T) {
	t.Parallel()
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("no kubectl on the PATH")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	build := func(want ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", filepath.Join(dir, "kubernetes")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, line := range want {
			if !bytes.Contains(out, []byte(line)) {
				t.Errorf("lacks %q", line)
			}
		}
	}
	build("image: registry.example.com/drover:1\n", "  NATS_URL: nats://nats:4222\n", "  replicas: 3\n")
	file := filepath.Join(dir, "kubernetes/kustomization.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.NewReplacer("# components:", "components:", "#   - ", "  - ").Replace(string(data))
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	build("kind: ScaledObject\n", "kind: CronJob\n", "  DROVER_QUEUE_REPLICAS: \"3\"\n", "  serviceName: nats-peers\n", "- /etc/nats/cluster.conf\n")
}

func TestPodsMayDoNoMoreThanTheyNeed(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	for name, w := range m.workloads() {
		pod := w.Spec
		if s := pod.SecurityContext; !s.RunAsNonRoot || s.RunAsUser == 0 || s.SeccompProfile.Type != "RuntimeDefault" || s.FSGroup == 0 {
			t.Errorf("%s: its pod runs as %+v", name, s)
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("%s gets a token of the cluster, which it has no use for", name)
		}
		// Those of a Service whose name begins with drover would be taken for settings.
		if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
			t.Errorf("%s gets variables of services", name)
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if !s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("%s may do more than it needs to: %+v", name, s)
			}
			if c.Resources.Requests["cpu"] == "" || c.Resources.Requests["memory"] == "" || c.Resources.Limits["memory"] == "" || c.Resources.Limits["cpu"] != "" {
				t.Errorf("%s: resources are %+v", name, c.Resources)
			}
		}
	}
	each(m, "Namespace", func(_ string, o manifest, _ *any) {
		if o.Metadata.Labels["pod-security.kubernetes.io/enforce"] != "restricted" || o.Metadata.Name != m.roots["kubernetes"].Namespace {
			t.Errorf("the namespace is %+v", o.Metadata)
		}
	})
}

func TestPodsFindWhatTheyName(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	maps, secrets := map[string][]string{}, map[string]map[string]string{}
	for dir, k := range m.roots {
		for _, c := range k.ConfigMapGenerator {
			maps[c.Name] = append(maps[c.Name], c.Files...)
			if c.Behavior == "merge" != (k.Kind == "Component") {
				t.Errorf("%s: the ConfigMap %s has the behavior %q", dir, c.Name, c.Behavior)
			}
		}
	}
	for file, list := range m.all {
		for _, o := range list {
			if o.Kind == "Secret" {
				secrets[o.Metadata.Name] = o.StringData
				if file != "kubernetes/secrets.example.yaml" {
					t.Errorf("%s has a Secret", file)
				}
			}
		}
	}
	for name, w := range m.workloads() {
		there := map[string]bool{}
		for _, v := range w.Spec.Volumes {
			there[v.Name] = true
			if v.ConfigMap != nil && maps[v.ConfigMap.Name] == nil {
				t.Errorf("%s: there is no ConfigMap %s", name, v.ConfigMap.Name)
			}
		}
		if w.set != nil {
			for _, c := range w.set.VolumeClaimTemplates {
				there[c.Metadata.Name] = true
			}
		}
		for _, c := range w.Spec.Containers {
			for _, mount := range c.VolumeMounts {
				if !there[mount.Name] {
					t.Errorf("%s mounts %s, which is not there", name, mount.Name)
				}
				delete(there, mount.Name)
			}
			for _, e := range c.Env {
				if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
					continue
				}
				if ref := e.ValueFrom.SecretKeyRef; secrets[ref.Name][ref.Key] == "" {
					t.Errorf("%s: secrets.example.yaml has no %s of %s", name, ref.Key, ref.Name)
				}
			}
			for _, from := range c.EnvFrom {
				if from.SecretRef != nil && secrets[from.SecretRef.Name] == nil || from.ConfigMapRef != nil && from.ConfigMapRef.Name != "settings" {
					t.Errorf("%s: its variables are from %+v", name, from)
				}
			}
		}
		if len(there) > 0 {
			t.Errorf("%s mounts none of %v", name, there)
		}
	}
	for name, values := range secrets {
		for key, value := range values {
			if !strings.HasPrefix(value, "replace me") {
				t.Errorf("%s of the example of %s looks like a real one", key, name)
			}
		}
	}
}

func TestServicesAndPoliciesNamePortsThatArePresent(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	ports := func(s selector) map[string]int {
		found := map[string]int{}
		add := func(p podTemplate) {
			for _, c := range p.Spec.Containers {
				for _, port := range c.Ports {
					found[port.Name] = port.ContainerPort
				}
			}
		}
		each(m, "StatefulSet", func(_ string, o manifest, set *statefulSetSpec) {
			if s.selects(map[string]string{"app.kubernetes.io/name": o.Metadata.Name}) {
				add(set.Template)
			}
		})
		return found
	}
	each(m, "Service", func(file string, o manifest, s *serviceSpec) {
		there := ports(selector{MatchLabels: s.Selector})
		for _, p := range s.Ports {
			if there[p.TargetPort] != p.Port {
				t.Errorf("%s: %s leads to %s, %d, of %v", file, o.Metadata.Name, p.TargetPort, p.Port, there)
			}
		}
		if !s.PublishNotReadyAddresses {
			t.Errorf("%s: who is not ready cannot be found", o.Metadata.Name)
		}
	})
	each(m, "NetworkPolicy", func(file string, o manifest, s *policySpec) {
		for _, r := range slices.Concat(s.Ingress, s.Egress) {
			for _, p := range r.Ports {
				name, named := p.Port.(string)
				if named && ports(s.PodSelector)[name] == 0 {
					t.Errorf("%s: nobody that %s is about has a port %s", file, o.Metadata.Name, name)
				}
			}
		}
	})
	each(m, "PodDisruptionBudget", func(_ string, o manifest, s *disruptionSpec) {
		if len(ports(s.Selector)) == 0 || s.MaxUnavailable != 1 {
			t.Errorf("the budget of disruptions %s is %+v", o.Metadata.Name, s)
		}
	})
	for name, w := range m.workloads() {
		if w.set != nil && !w.set.Selector.selects(w.Metadata.Labels) || w.Metadata.Labels["app.kubernetes.io/name"] != name {
			t.Errorf("%s does not select its own pods: %v", name, w.Metadata.Labels)
		}
	}
}

func TestKubernetesRunsTheImagesOfCompose(t *testing.T) {
	t.Parallel()
	m, p := readManifests(t), project(t)
	for name, w := range m.workloads() {
		want := "drover"
		if name == "nats" || name == "redis" {
			want = service(t, p, name).Image
		}
		for _, c := range w.Spec.Containers {
			if c.Image != want {
				t.Errorf("%s runs %s, want %s", name, c.Image, want)
			}
		}
	}
	if i := m.roots["kubernetes"].Images; len(i) != 1 || i[0].Name != "drover" || i[0].NewTag == "" || i[0].NewTag == "latest" {
		t.Errorf("drover is the image %+v", i)
	}
}

// secretsOf are the passwords, by their names in the Secret.
var secretsOf = map[string]string{"nats-admin": "admins-own", "nats-enqueue": "12345678", "nats-worker": "work{er}s", "redis": "everybodys"}

// environment is what the container of a workload gets, with what the folders
// of components add.
func (m *manifests) environment(w *workload, components ...string) []string {
	m.t.Helper()
	c := w.Spec.Containers[0]
	var env []string
	if len(c.EnvFrom) > 0 {
		env = m.settings(append([]string{"kubernetes"}, components...)...)
	}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			value = secretsOf[e.ValueFrom.SecretKeyRef.Key]
		}
		value = regexp.MustCompile(`\$\((\w+)\)`).ReplaceAllStringFunc(value, func(name string) string {
			for _, before := range env {
				if v, ok := strings.CutPrefix(before, strings.Trim(name, "$()")+"="); ok {
					return v
				}
			}
			return name
		})
		env = append(env, e.Name+"="+value)
	}
	return env
}

func (m *manifests) config(w *workload, components ...string) *config.Config {
	m.t.Helper()
	var env []string
	for _, e := range m.environment(w, components...) {
		if e == "DROVER_CONFIG=/etc/drover/drover.yaml" {
			e = "DROVER_CONFIG=config/drover.yaml"
		}
		env = append(env, e)
	}
	c, err := config.Load(config.Source{Environ: env})
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func TestPodsAreConfiguredCompletely(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	for name, user := range map[string]string{"worker": "worker", "setup": "admin", "submit": "enqueue"} {
		w := m.workloads()[name]
		c := m.config(w)
		password, err := c.NATSPassword()
		if err != nil || password.Empty() || c.NATS.URL != "nats://nats:4222" || c.NATS.Monitor != "http://nats:8222" || c.NATS.User != user {
			t.Errorf("%s: NATS is %+v, %v", name, c.NATS, err)
		}
		password, err = c.RedisPassword()
		if err != nil || password.Empty() || c.Redis.URL != "redis://redis:6379" || c.Redis.User != "drover" {
			t.Errorf("%s: Redis is %+v, %v", name, c.Redis, err)
		}
		for _, path := range []string{c.Worker.Data, "/etc/drover"} {
			if !slices.ContainsFunc(w.Spec.Containers[0].VolumeMounts, func(v mount) bool { return v.MountPath == path && v.ReadOnly == (path == "/etc/drover") }) {
				t.Errorf("%s: nothing is mounted at %s", name, path)
			}
		}
	}
	if c := m.config(m.workloads()["setup"], "kubernetes/ha"); c.Queue.Replicas != 3 || strings.Count(c.NATS.URL, ",") != 2 || strings.Count(c.NATS.Monitor, ",") != 2 {
		t.Errorf("with ha the streams are laid out in %d, at %s and %s", c.Queue.Replicas, c.NATS.URL, c.NATS.Monitor)
	}
}

func TestServersOnKubernetesAreStartedAsByCompose(t *testing.T) {
	t.Parallel()
	m, p := readManifests(t), project(t)
	redis, want := m.workloads()["redis"], service(t, p, "redis")
	if got := redis.Spec.Containers[0].Command; !slices.Equal(got, []string{"sh", "-c", strings.ReplaceAll(want.Command[2], "$$", "$")}) {
		t.Errorf("redis is started by %q, and by compose with %q", got, want.Command)
	}
	nats := m.environment(m.workloads()["nats"])
	for name, value := range service(t, p, "nats").Environment {
		if !slices.Contains(nats, name+"="+*value) {
			t.Errorf("%s reaches nats.conf otherwise than by compose: %q", name, nats)
		}
	}
}

func TestAnswersOutliveTheirPod(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	w := m.workloads()["worker"]
	c := m.config(w)
	if r := w.set.PersistentVolumeClaimRetentionPolicy; r.WhenDeleted != "Retain" || r.WhenScaled != "Retain" {
		t.Errorf("claims are kept: %+v", r)
	}
	claim := w.set.VolumeClaimTemplates[0]
	gib, err := strconv.Atoi(strings.TrimSuffix(claim.Spec.Resources.Requests.Storage, "Gi"))
	if err != nil || int64(gib)<<30 <= int64(c.Worker.Spool) {
		t.Errorf("a disk of %s has no room for worker.spool, %d bytes: %v", claim.Spec.Resources.Requests.Storage, c.Worker.Spool, err)
	}
	if mounts := w.Spec.Containers[0].VolumeMounts; !slices.ContainsFunc(mounts, func(v mount) bool { return v.Name == claim.Metadata.Name && v.MountPath == c.Worker.Data }) {
		t.Errorf("the claim is not where answers wait, in %s: %+v", c.Worker.Data, mounts)
	}
}

func TestKubernetesWaitsLongerThanTheWorker(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	w := m.workloads()["worker"]
	if grace := m.config(w).Worker.Grace; time.Duration(w.Spec.TerminationGracePeriodSeconds)*time.Second < grace+10*time.Second {
		t.Errorf("it is killed after %d s, while the worker takes up to %s and has to hand back", w.Spec.TerminationGracePeriodSeconds, grace)
	}
}

func TestProbesAskWhatIsAnswered(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	worker, err := ops.Listen("127.0.0.1:0", ops.NewMetrics(), func(context.Context) error { return fmt.Errorf("NATS is away") })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = worker.Close() }()
	at := map[string]string{"worker": worker.Addr(), "nats": startNATS(t).MonitorAddr().String()}
	for name, addr := range at {
		c := m.workloads()[name].Spec.Containers[0]
		for _, p := range []*probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if p == nil {
				continue
			}
			resp, err := http.Get("http://" + addr + p.HTTPGet.Path)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK { // of a worker whose NATS is away, too
				t.Errorf("%s%s: %s", name, p.HTTPGet.Path, resp.Status)
			}
			if !slices.ContainsFunc(c.Ports, func(has port) bool { return has.Name == p.HTTPGet.Port }) {
				t.Errorf("%s has no port %s", name, p.HTTPGet.Port)
			}
		}
	}
	env := m.environment(m.workloads()["worker"])
	if port := m.workloads()["worker"].Spec.Containers[0].Ports[0].ContainerPort; !slices.Contains(env, fmt.Sprintf("DROVER_WORKER_HTTP=0.0.0.0:%d", port)) {
		t.Errorf("the worker does not listen where it is asked, at %d: %q", port, env)
	}
}

// What another try cannot mend is not tried again (docs/settings.md, exit codes).
func TestSubmittingIsTriedAgainOnlyWhereThatHelps(t *testing.T) {
	t.Parallel()
	w := readManifests(t).workloads()["submit"]
	rules := w.job.PodFailurePolicy.Rules
	if len(rules) != 1 || rules[0].Action != "FailJob" || !slices.Equal(rules[0].OnExitCodes.Values, []int{2, 3}) || rules[0].OnExitCodes.ContainerName != w.Spec.Containers[0].Name {
		t.Errorf("%+v", rules)
	}
}
