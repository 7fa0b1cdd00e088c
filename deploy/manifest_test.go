package deploy_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// decode reads YAML into a value that has a field for every member, whose names
// are compared without case.
func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	strictly(t, must(json.Marshal(tree)), into)
}

func strictly(t *testing.T, data []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// kustomization is as much of one as the manifests need.
type kustomization struct {
	APIVersion string
	Kind       string
	Namespace  string
	Resources  []string
	Components []string
	Patches    []struct {
		Path string
	}
	Images   []struct{ Name, NewName, NewTag string }
	Replicas []struct {
		Name  string
		Count int
	}
	ConfigMapGenerator []struct {
		Name     string
		Behavior string
		Files    []string
		Literals []string
	}
	Labels any
}

type metadata struct {
	Name      string
	Namespace string
	Labels    map[string]string
}

type selector struct {
	MatchLabels      map[string]string
	MatchExpressions []struct {
		Key      string
		Operator string
		Values   []string
	}
}

// selects reports whether an object with the labels is meant.
func (s selector) selects(labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if labels[k] != v {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		if e.Operator != "In" || !slices.Contains(e.Values, labels[e.Key]) {
			return false
		}
	}
	return true
}

type probe struct {
	HTTPGet *struct {
		Path string
		Port string
	}
	Exec             *struct{ Command []string }
	PeriodSeconds    int
	TimeoutSeconds   int
	FailureThreshold int
}

type reference struct {
	Name     string
	Key      string
	Optional bool
}

type port struct {
	Name          string
	ContainerPort int
}

type mount struct {
	Name, MountPath string
	ReadOnly        bool
}

type container struct {
	Name    string
	Image   string
	Command []string
	EnvFrom []struct {
		ConfigMapRef *reference
		SecretRef    *reference
	}
	Env []struct {
		Name      string
		Value     string
		ValueFrom *struct {
			SecretKeyRef *reference
			FieldRef     *struct{ FieldPath string }
		}
	}
	Ports          []port
	StartupProbe   *probe
	ReadinessProbe *probe
	LivenessProbe  *probe
	Resources      struct {
		Requests map[string]string
		Limits   map[string]string
	}
	SecurityContext struct {
		AllowPrivilegeEscalation *bool
		ReadOnlyRootFilesystem   bool
		Capabilities             struct{ Drop []string }
	}
	VolumeMounts []mount
}

type podTemplate struct {
	Metadata metadata
	Spec     struct {
		RestartPolicy                 string
		AutomountServiceAccountToken  *bool
		EnableServiceLinks            *bool
		TerminationGracePeriodSeconds int
		SecurityContext               struct {
			RunAsNonRoot        bool
			RunAsUser           int
			RunAsGroup          int
			FSGroup             int
			FSGroupChangePolicy string
			SeccompProfile      struct{ Type string }
		}
		Affinity                  any
		TopologySpreadConstraints any
		Containers                []container
		Volumes                   []struct {
			Name                  string
			ConfigMap             *reference
			EmptyDir              *struct{ Medium, SizeLimit string }
			PersistentVolumeClaim *struct {
				ClaimName string
				ReadOnly  bool
			}
		}
	}
}

type jobSpec struct {
	TTLSecondsAfterFinished int
	BackoffLimit            int
	PodFailurePolicy        struct {
		Rules []struct {
			Action      string
			OnExitCodes struct {
				ContainerName string
				Operator      string
				Values        []int
			}
		}
	}
	Template podTemplate
}

type peer struct {
	PodSelector       *selector
	NamespaceSelector *selector
	IPBlock           any
}

type rule struct {
	From, To []peer
	Ports    []struct {
		Port     any
		Protocol string
	}
}

// manifest is an object of Kubernetes. The kinds that are used here have no more
// members than these types; the specs of others are not looked into.
type manifest struct {
	APIVersion string
	Kind       string
	Metadata   metadata
	StringData map[string]string
	Spec       json.RawMessage
}

type serviceSpec struct {
	ClusterIP                string
	Selector                 map[string]string
	PublishNotReadyAddresses bool
	Ports                    []struct {
		Name       string
		Port       int
		TargetPort string
	}
}

type statefulSetSpec struct {
	ServiceName                          string
	Replicas                             int
	PodManagementPolicy                  string
	MinReadySeconds                      int
	Selector                             selector
	PersistentVolumeClaimRetentionPolicy struct{ WhenDeleted, WhenScaled string }
	Template                             podTemplate
	VolumeClaimTemplates                 []struct {
		Metadata metadata
		Spec     struct {
			AccessModes []string
			Resources   struct {
				Requests struct{ Storage string }
			}
		}
	}
}

type cronJobSpec struct {
	Schedule                string
	ConcurrencyPolicy       string
	StartingDeadlineSeconds int
	JobTemplate             struct {
		Spec jobSpec
	}
}

type policySpec struct {
	PodSelector     selector
	PolicyTypes     []string
	Ingress, Egress []rule
}

type disruptionSpec struct {
	MaxUnavailable             int
	UnhealthyPodEvictionPolicy string
	Selector                   selector
}

// workload is whatever runs a pod.
type workload struct {
	kind, name string
	podTemplate
	set *statefulSetSpec // nil of others
	job *jobSpec         // nil of others
}

// manifests are the objects of the files of deploy/kubernetes, by file.
type manifests struct {
	t     *testing.T
	all   map[string][]manifest
	roots map[string]kustomization // by folder
}

func readManifests(t *testing.T) *manifests {
	t.Helper()
	m := &manifests{t: t, all: map[string][]manifest{}, roots: map[string]kustomization{}}
	for _, root := range []string{"config", "kubernetes"} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(name) != ".yaml" || name == "config/drover.yaml" {
				return err
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if filepath.Base(name) == "kustomization.yaml" {
				var k kustomization
				decode(t, data, &k)
				m.roots[filepath.Dir(name)] = k
				return nil
			}
			for _, document := range strings.Split(string(data), "\n---\n") {
				var o manifest
				decode(t, []byte(document), &o)
				m.all[name] = append(m.all[name], o)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// each calls f for every object of the kind with its spec.
func each[spec any](m *manifests, kind string, f func(file string, o manifest, s *spec)) {
	m.t.Helper()
	found := false
	for file, list := range m.all {
		for _, o := range list {
			if o.Kind == kind {
				var s spec
				if len(o.Spec) > 0 {
					strictly(m.t, o.Spec, &s)
				}
				f(file, o, &s)
				found = true
			}
		}
	}
	if !found {
		m.t.Errorf("there is no %s", kind)
	}
}

// workloads are all but what only patches one.
func (m *manifests) workloads() map[string]*workload {
	m.t.Helper()
	all := map[string]*workload{}
	each(m, "StatefulSet", func(file string, o manifest, s *statefulSetSpec) {
		if !m.patches(file) {
			all[o.Metadata.Name] = &workload{o.Kind, o.Metadata.Name, s.Template, s, nil}
		}
	})
	each(m, "Job", func(_ string, o manifest, s *jobSpec) {
		all[o.Metadata.Name] = &workload{o.Kind, o.Metadata.Name, s.Template, nil, s}
	})
	each(m, "CronJob", func(_ string, o manifest, s *cronJobSpec) {
		all[o.Metadata.Name] = &workload{o.Kind, o.Metadata.Name, s.JobTemplate.Spec.Template, nil, &s.JobTemplate.Spec}
	})
	return all
}

func (m *manifests) patches(file string) bool {
	return slices.ContainsFunc(m.roots[filepath.Dir(file)].Patches, func(p struct{ Path string }) bool { return p.Path == filepath.Base(file) })
}

// settings are the literals of the ConfigMap settings, as the folder adds to them.
func (m *manifests) settings(dirs ...string) []string {
	m.t.Helper()
	var env []string
	for _, dir := range dirs {
		for _, c := range m.roots[dir].ConfigMapGenerator {
			if c.Name == "settings" {
				env = append(env, c.Literals...)
			}
		}
	}
	return env
}
