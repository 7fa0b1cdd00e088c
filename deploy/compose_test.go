package deploy_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/drover-batch/drover/internal/config"
)

// passwords are what .env sets. One of them is all digits, which a careless
// configuration would read as a number.
var passwords = []string{
	"NATS_ADMIN_PASSWORD=admins-own", "NATS_ENQUEUE_PASSWORD=12345678", "NATS_WORKER_PASSWORD=work{er}s",
	"REDIS_PASSWORD=everybodys",
}

func compose(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	opts, err := cli.NewProjectOptions([]string{"compose.yaml"}, cli.WithEnv(env), cli.WithProfiles([]string{"tools", "monitoring"}))
	if err != nil {
		t.Fatal(err)
	}
	return opts.LoadProject(context.Background())
}

func project(t *testing.T, env ...string) *types.Project {
	t.Helper()
	p, err := compose(t, append(passwords, env...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func service(t *testing.T, p *types.Project, name string) types.ServiceConfig {
	t.Helper()
	s, err := p.GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPasswordsMustBeSet(t *testing.T) {
	t.Parallel()
	_, err := compose(t)
	if err == nil || !strings.Contains(err.Error(), "set it in deploy/.env") {
		t.Errorf("error = %v; compose comes up without passwords", err)
	}
	example, err := os.ReadFile(".env.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range passwords {
		name, _, _ := strings.Cut(p, "=")
		if !strings.Contains(string(example), "\n"+name+"=\n") {
			t.Errorf(".env.example does not ask for %s", name)
		}
	}
}

func TestServersKeepWhatTheyAreGiven(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, want := range map[string]struct{ file, inside, data string }{
		"nats":  {"config/nats.conf", "/etc/nats/nats.conf", "/data"},
		"redis": {"config/redis.conf", "/etc/redis/redis.conf", "/data"},
	} {
		s := service(t, p, name)
		if !strings.Contains(strings.Join(s.Command, " "), want.inside) {
			t.Errorf("%s is not started with %s: %q", name, want.inside, s.Command)
		}
		mounted := slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Target == want.inside && strings.HasSuffix(v.Source, "/"+want.file) && v.ReadOnly
		})
		if !mounted {
			t.Errorf("%s does not mount %s", name, want.file)
		}
		kept := slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
			_, named := p.Volumes[v.Source]
			return v.Target == want.data && v.Type == types.VolumeTypeVolume && named
		})
		if !kept {
			t.Errorf("%s keeps its data in no named volume", name)
		}
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is open to the network: %+v", name, port)
			}
		}
	}
}

func TestWorkersWaitForWhatTheyNeed(t *testing.T) {
	t.Parallel()
	w := service(t, project(t), "worker")
	for name, want := range map[string]string{
		"nats": types.ServiceConditionHealthy, "redis": types.ServiceConditionHealthy, "setup": types.ServiceConditionCompletedSuccessfully,
	} {
		if got := w.DependsOn[name].Condition; got != want {
			t.Errorf("worker starts when %s is %q, want %q", name, got, want)
		}
	}
	if w.HealthCheck == nil || w.Environment["DROVER_WORKER_HTTP"] == nil {
		t.Error("nobody sees whether a worker is well")
	}
}

func TestAnswersOutliveTheirContainer(t *testing.T) {
	t.Parallel()
	p := project(t)
	w := service(t, p, "worker")
	data := w.Environment["DROVER_WORKER_DATA"]
	kept := slices.ContainsFunc(w.Volumes, func(v types.ServiceVolumeConfig) bool {
		_, named := p.Volumes[v.Source]
		return data != nil && v.Target == *data && named
	})
	if !kept || len(w.Tmpfs) > 0 {
		t.Errorf("workers keep their data in %+v and %q", w.Volumes, w.Tmpfs)
	}
	if !slices.ContainsFunc(w.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/etc/drover/drover.yaml" }) {
		t.Error("workers have no drover.yaml")
	}
}

func TestWorkersAreScaledByOneVariable(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]int{"": 3, "WORKERS=10": 10} {
		w := service(t, project(t, set), "worker")
		if w.Deploy.Replicas == nil || *w.Deploy.Replicas != want {
			t.Errorf("with %q there are %v workers, want %d", set, w.Deploy.Replicas, want)
		}
		if w.ContainerName != "" || len(w.Ports) > 0 {
			t.Error("a fixed name or port allows one worker only")
		}
	}
}

// settings loads drover.yaml as a container would.
func settings(t *testing.T, s types.ServiceConfig) *config.Config {
	t.Helper()
	env := []string{"DROVER_CONFIG=config/drover.yaml"}
	for name, value := range s.Environment {
		if value != nil && name != "DROVER_CONFIG" {
			env = append(env, name+"="+*value)
		}
	}
	c, err := config.Load(config.Source{Environ: env})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContainersAreConfiguredCompletely(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, user := range map[string]string{"worker": "worker", "setup": "admin", "enqueue": "enqueue", "admin": "admin"} {
		s := service(t, p, name)
		c := settings(t, s)
		nats, err := c.NATSPassword()
		if err != nil || nats.Empty() || c.NATS.URL != "nats://nats:4222" || c.NATS.User != user {
			t.Errorf("%s: NATS is %+v, %v", name, c.NATS, err)
		}
		redis, err := c.RedisPassword()
		if err != nil || redis.Empty() || c.Redis.URL != "redis://redis:6379" || c.Redis.User != "drover" {
			t.Errorf("%s: Redis is %+v, %v", name, c.Redis, err)
		}
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") {
			t.Errorf("%s may do more than it needs to", name)
		}
		writable := slices.ContainsFunc(s.Tmpfs, func(path string) bool { return strings.HasPrefix(path, c.Worker.Data+":") }) ||
			slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == c.Worker.Data && !v.ReadOnly })
		if !writable {
			t.Errorf("%s cannot write to its data folder %s", name, c.Worker.Data)
		}
	}
}

func TestLargeArchivesCanBePutAside(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"enqueue", "admin"} { // which read documents
		if s := service(t, project(t), name); !slices.ContainsFunc(s.Tmpfs, func(path string) bool { return strings.HasPrefix(path, "/tmp:") }) {
			t.Errorf("%s has nowhere to put aside what does not fit into memory: %q", name, s.Tmpfs)
		}
	}
}

func TestWorkersGetTheKeysOfAllProviders(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(".env.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, provider := range []string{"openai", "openai-responses", "openai-embeddings", "anthropic", "gemini"} {
		path := filepath.Join(t.TempDir(), "drover.yaml")
		if err := os.WriteFile(path, []byte("models: {m: {provider: "+provider+"}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env := []string{}
		for name, value := range service(t, project(t, "OPENAI_API_KEY=own", "ANTHROPIC_API_KEY=own", "GEMINI_API_KEY=own"), "worker").Environment {
			if strings.HasSuffix(name, "_API_KEY") && strings.Contains(string(example), "\n"+name+"=\n") {
				env = append(env, name+"="+*value)
			}
		}
		c, err := config.Load(config.Source{Path: path, Environ: env})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ReadKeys(); err != nil {
			t.Error(err)
		}
	}
}

func TestDockerWaitsLongerThanTheWorker(t *testing.T) {
	t.Parallel()
	w := service(t, project(t), "worker")
	grace := settings(t, w).Worker.Grace
	if w.StopGracePeriod == nil || time.Duration(*w.StopGracePeriod) < grace+10*time.Second {
		t.Errorf("docker kills after %v, while the worker takes up to %s and has to hand back", w.StopGracePeriod, grace)
	}
	for _, name := range []string{"nats", "redis"} {
		if s := service(t, project(t), name); s.StopGracePeriod == nil {
			t.Errorf("%s has docker's 10 s to stop", name)
		}
	}
}

func TestWatchersFindTheWorkersAndTheirFiles(t *testing.T) {
	t.Parallel()
	p := project(t)
	for _, name := range []string{"prometheus", "grafana"} {
		s := service(t, p, name)
		if !slices.Equal(s.Profiles, []string{"monitoring"}) || !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") {
			t.Errorf("%s: profiles %q, or it may do more than it needs to", name, s.Profiles)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is open to the network: %+v", name, port)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
				t.Errorf("%s mounts %s: %v", name, v.Source, err)
			}
		}
	}
	for name, want := range map[string]string{
		"prometheus/prometheus.yaml": "names: [worker], type: A, port: 8080,",
		"grafana/datasources.yaml":   "url: http://prometheus:9090\n",
		"grafana/dashboards.yaml":    "path: /etc/dashboards}",
	} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), want) {
			t.Errorf("%s does not say %q", name, want)
		}
	}
	if w := service(t, p, "worker"); *w.Environment["DROVER_WORKER_HTTP"] != "0.0.0.0:8080" {
		t.Error("workers cannot be asked at port 8080")
	}
}

func TestTheImageRunsAsNobody(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(data), "\nFROM gcr.io/distroless/static")
	if !strings.HasPrefix(last, "-debian12:nonroot\n") {
		t.Error("the image is not distroless static, run as nonroot")
	}
	w := service(t, project(t), "worker")
	for _, program := range []string{w.HealthCheck.Test[1], service(t, project(t), "setup").Entrypoint[0]} {
		if !strings.Contains(last, "/out"+program+" ") {
			t.Errorf("the image has no %s", program)
		}
	}
	if port := strings.TrimPrefix(*w.Environment["DROVER_WORKER_HTTP"], "0.0.0.0:"); !strings.Contains(last, "EXPOSE "+port) {
		t.Errorf("the image does not expose %s", strconv.Quote(port))
	}
}
