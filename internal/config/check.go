package config

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// check holds the settings against each other. What each may be alone was
// seen to when it was read.
func (l *report) check(c *Config) {
	l.checkChains(c)
	for i := range c.Budgets {
		l.checkBudget(c, i)
	}
	if c.Retry.Max < c.Retry.Base {
		l.wrong("retry.max", "retry.max (%s) is less than retry.base (%s)", c.Retry.Max, c.Retry.Base)
	}
	if c.Queue.Replicas%2 == 0 {
		l.wrong("queue.replicas", "queue.replicas must be 1, 3 or 5, not %d: an even number survives no more failures", c.Queue.Replicas)
	}
	l.checkPrefix("queue.prefix", c.Queue.Prefix)
	l.checkPrefix("redis.prefix", c.Redis.Prefix)
	l.checkHTTP(c)
	l.checkServers(c)
	l.checkAlerts(&c.Alerts)
	l.checkTools(c)
}

func (l *report) checkAlerts(a *Alerts) {
	u, err := url.Parse(a.Webhook)
	if a.Webhook != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil) {
		l.wrong("alerts.webhook", "alerts.webhook must be an address such as https://example.com/alerts, without a user or password")
	}
	if a.SecretEnv != "" {
		l.checkVariable("alerts.secret_env", a.SecretEnv)
	}
	if a.Webhook == "" && (a.SecretEnv != "" || a.SecretFile != "") {
		l.wrong("alerts", "alerts has a secret but no webhook to send it to")
	}
}

func (l *report) checkChains(c *Config) {
	models := slices.Collect(maps.Keys(c.Models))
	if len(models) == 0 && l.sound("models") {
		l.wrong("models", "models is missing: name at least one model to ask")
	}
	if len(c.Chains) == 0 && len(models) > 1 && l.sound("chains") {
		l.wrong("chains", "chains is missing: say which models to try in order, such as default: [%s]", strings.Join(slices.Sorted(slices.Values(models)), ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Chains)) {
		path, steps := join("chains", name), c.Chains[name].Models
		if _, table := l.places[path+".models"]; table {
			path += ".models"
		}
		if len(steps) == 0 && l.sound(path) {
			l.wrong(path, "%s has no models", path)
		}
		for i, step := range steps {
			at := fmt.Sprintf("%s[%d]", path, i)
			if _, ok := c.Models[step]; !ok && l.sound(at) {
				l.wrong(at, "%s names the model %q, which is not under models%s", path, clip(step), DidYouMean(step, models))
			}
			if slices.Contains(steps[:i], step) {
				l.wrong(at, "%s names the model %q twice", path, clip(step))
			}
		}
	}
}

func (l *report) checkBudget(c *Config, i int) {
	path, b := fmt.Sprintf("budgets[%d]", i), &c.Budgets[i]
	if !l.sound(path) {
		return
	}
	if b.Limit <= 0 {
		l.wrong(path+".limit", "%s.limit must be more than 0 dollars", path)
	}
	if _, ok := c.Models[b.Model]; b.Model != "" && !ok {
		l.wrong(path+".model", "%s names the model %q, which is not under models%s", path, clip(b.Model), DidYouMean(b.Model, slices.Collect(maps.Keys(c.Models))))
	}
	if _, ok := l.places[path+".zone"]; ok && b.Window == "" {
		l.wrong(path+".zone", "%s has a time zone but no window", path)
	}
	if b.Name == "" {
		b.Name = b.title()
	}
	if !validName.MatchString(b.Name) || strings.Contains(b.Name, ":") {
		l.wrong(path+".name", "%s.name: use 1 to 64 letters, digits, '.', '-', '_' or '/'", path)
	}
	if slices.ContainsFunc(c.Budgets[:i], func(other Budget) bool { return other.Name == b.Name }) {
		l.wrong(path, "%s is the second budget called %q: give one of them another name", path, b.Name)
	}
}

// title names a budget by what it applies to: acme/large/day.
func (b *Budget) title() string {
	parts := slices.DeleteFunc([]string{b.Tenant, b.Model, b.Window}, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, "/")
}

var validPrefix = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

func (l *report) checkPrefix(path, text string) {
	if !validPrefix.MatchString(text) {
		l.wrong(path, "%s must be 1 to 32 small letters, digits, '-' or '_'", path)
	}
}

func (l *report) checkHTTP(c *Config) {
	if c.Worker.HTTP == "off" {
		c.Worker.HTTP = ""
		return
	}
	if _, port, err := net.SplitHostPort(c.Worker.HTTP); err != nil || port == "" {
		l.wrong("worker.http", "worker.http must be an address such as 127.0.0.1:8080, or off")
	}
}

func (l *report) checkServers(c *Config) {
	for path, name := range map[string]string{"nats.password_env": c.NATS.PasswordEnv, "redis.password_env": c.Redis.PasswordEnv, "redis.sentinel_password_env": c.Redis.SentinelPasswordEnv} {
		l.checkVariable(path, name)
	}
	for path, t := range map[string]TLS{"nats.tls": c.NATS.TLS, "redis.tls": c.Redis.TLS} {
		if (t.CertFile == "") != (t.KeyFile == "") {
			l.wrong(path, "%s needs both cert_file and key_file, or neither", path)
		}
	}
	if c.Redis.Sentinel != "" && c.Redis.Cluster {
		l.wrong("redis.sentinel", "redis has both sentinel and cluster: a cluster needs no Sentinels, use one of them")
	}
	if c.Redis.Sentinel != "" && c.Redis.URL == "" {
		l.wrong("redis.sentinel", "redis.sentinel names a master, but redis.url (or REDIS_URL) does not say where the Sentinels are")
	}
	if c.Redis.Sentinel == "" && (c.Redis.SentinelUser != "" || c.Redis.SentinelPasswordFile != "") {
		l.wrong("redis.sentinel", "redis.sentinel is missing: there is a user or password for Sentinels, but not the name of the master they watch")
	}
	if c.NATS.Monitor != "" {
		l.checkMonitor(c.NATS.Monitor)
	}
	if c.NATS.CredsFile != "" && c.NATS.User != "" {
		l.wrong("nats.creds_file", "nats has both a user and a creds_file: use one of them")
	}
}

func (l *report) checkMonitor(list string) {
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			l.wrong("nats.monitor", "nats.monitor must be an address such as http://127.0.0.1:8222, without a user or password")
			return
		}
	}
}

// noPasswords refuses them in the addresses that the file gives; those in the
// environment may have one.
func (l *report) noPasswords(doc *document) {
	for path, text := range map[string]string{"nats.url": doc.NATS.URL, "redis.url": doc.Redis.URL} {
		for one := range strings.SplitSeq(text, ",") {
			if one = strings.TrimSpace(one); !strings.Contains(one, "://") {
				one = "//" + one // a host and a port will do
			}
			u, err := url.Parse(one)
			if err != nil || u.User != nil {
				l.wrong(path, "%s must be an address alone: name the user beside it, and the variable or file that holds the password with password_env or password_file", path)
				break
			}
		}
	}
}
