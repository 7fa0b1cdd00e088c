package trace

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Wanted reports whether the environment asks for traces, by OpenTelemetry's own
// variables: it names an endpoint and does not say that there are to be none. An
// error tells what of it cannot be done. An empty variable counts as not set.
func Wanted(getenv func(string) string) (bool, error) {
	first := func(names ...string) (name, value string) {
		for _, name = range names {
			if value = strings.TrimSpace(getenv(name)); value != "" {
				return name, value
			}
		}
		return "", ""
	}
	name, endpoint := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	exporter, kind := first("OTEL_TRACES_EXPORTER")
	_, disabled := first("OTEL_SDK_DISABLED")
	if endpoint == "" || kind == "none" || strings.EqualFold(disabled, "true") {
		return false, nil
	}
	if kind != "" && !slices.Contains(strings.Split(kind, ","), "otlp") {
		return false, fmt.Errorf("%s=%s: traces are exported with otlp, or not at all with none", exporter, kind)
	}
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return false, fmt.Errorf("%s is no address such as http://127.0.0.1:4318", name) // which may hold a password
	}
	if name, protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" && protocol != "http/json" {
		return false, fmt.Errorf("%s=%s: use http/protobuf, the default, or http/json; collectors take both at port 4318", name, protocol)
	}
	if name, sampler := first("OTEL_TRACES_SAMPLER"); sampler != "" && !slices.Contains(samplers, sampler) {
		return false, fmt.Errorf("%s=%s: use one of %s", name, sampler, strings.Join(samplers, ", "))
	}
	if name, share := first("OTEL_TRACES_SAMPLER_ARG"); share != "" {
		if f, err := strconv.ParseFloat(share, 64); err != nil || !(f >= 0 && f <= 1) {
			return false, fmt.Errorf("%s=%s: use a share from 0 to 1, such as 0.1", name, share)
		}
	}
	return true, nil
}

// samplers are those that the SDK knows.
var samplers = []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}
