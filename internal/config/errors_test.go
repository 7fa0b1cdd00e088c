package config_test

import (
	"strings"
	"testing"

	"github.com/drover-batch/drover/internal/config"
)

// sim is a file that only lacks what a test adds.
const sim = "models: {m: {provider: simulator}}\n"

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file  string
		env   []string
		flags []config.Flag
		want  []string // all of the lines, by what each has to say
	}{
		"misspelt key": {
			file: "models:\n  m:\n    provder: simulator\n    provider: simulator\n",
			want: []string{`drover.yaml:3:5: unknown key "provder": did you mean "provider"?`},
		},
		"key like no other": {
			file: sim + "zebra: 1\n",
			want: []string{`drover.yaml:2:1: unknown key "zebra"`},
		},
		"wrong types": {
			file: sim + "worker: {slots: many, grace: 30, data: 5, http: [a]}\nchains: 7\nbudgets: {limit: 1}\nqueue: [1]\n",
			want: []string{
				`drover.yaml:2:17: worker.slots must be a whole number, not "many"`,
				`drover.yaml:2:30: worker.grace must be a duration such as 30s, 5m or 1h30m, not "30"`,
				`drover.yaml:2:40: worker.data must be text: put it in quotes`,
				`drover.yaml:2:49: worker.http must be a single value, not a list`,
				`drover.yaml:3:9: chains must be a table of names, not a single value`,
				`drover.yaml:4:10: budgets must be a list, not a table`,
				`drover.yaml:5:8: queue must be a table of settings, not a list`,
			},
		},
		"out of bounds": {
			file: sim + "retry: {tries: 0, base: 2m, max: 1m}\nbreaker: {rate: 1.5}\nqueue: {replicas: 2, max_bytes: 7XB}\nbudgets: [{limit: -1}, {limit: 0}, {name: b}, {limit: 0.0000001}]\n",
			want: []string{
				`drover.yaml:2:16: retry.tries must be at least 1, not 0`,
				`drover.yaml:2:29: retry.max (1m0s) is less than retry.base (2m0s)`,
				`drover.yaml:3:17: breaker.rate must be at most 1, not 1.5`,
				`drover.yaml:4:9: queue.replicas must be 1, 3 or 5, not 2`,
				`drover.yaml:4:33: queue.max_bytes must be a size such as 512MiB or 8GiB, not "7XB"`,
				`drover.yaml:5:19: budgets[0].limit must be an amount in dollars such as 2.50, with at most six decimals, not "-1"`,
				`drover.yaml:5:25: budgets[1].limit must be more than 0 dollars`,
				`drover.yaml:5:36: budgets[2].limit must be more than 0 dollars`,
				`drover.yaml:5:55: budgets[3].limit must be an amount`,
			},
		},
		"where to ask NATS": {
			file: sim + "nats: {monitor: \"http://ok:8222, me:hunter2@host\"}\n",
			want: []string{`drover.yaml:2:8: nats.monitor must be an address such as http://127.0.0.1:8222, without a user or password`},
		},
		"tools": {
			file: sim + `tool_servers:
  doc: {command: [x]}
  web: {url: "http://me:hunter2@host/mcp", env: {A: b}}
  both: {url: "http://host/mcp", command: [x]}
  none: {timeout: 5s}
  bare: {command: [x], token_env: TOKEN}
chains:
  default: {models: [m], tools: [doc.serch, web.*], calls: {mail.send: 3, web.get: 0}, guardrails: {duration: 48h}}
`,
			want: []string{
				`drover.yaml:3:3: "doc" cannot be the name of a tool server`,
				`drover.yaml:4:3: tool_servers.web has an environment, but only a command gets one`,
				`drover.yaml:4:9: tool_servers.web.url must be an address alone, without a user, a password or parameters`,
				`drover.yaml:5:10: tool_servers.both has both a command and a url: use one of them`,
				`drover.yaml:6:3: tool_servers.none needs a command or a url`,
				`drover.yaml:7:3: tool_servers.bare has a token, which a command cannot be sent: give it a variable with env_from`,
				`drover.yaml:9:111: chains.default.guardrails.duration must be at most 24h, not 48h`,
			},
		},
		"tools of a chain": {
			file: sim + "tool_servers: {web: {command: [x]}}\nchains: {default: {models: [m], tools: [doc.serch, mail.send], calls: {web.get: 3, doc.read: 0}}}\n",
			want: []string{
				`drover.yaml:3:33: chains.default.tools: doc.serch: the tools over the document are doc.outline, doc.read, doc.search`,
				`drover.yaml:3:72: chains.default.calls.web.get: chains.default.tools does not have it`,
				`drover.yaml:3:84: chains.default.calls.doc.read must be at least 1`,
			},
		},
		"no such policy": {
			file: sim + "retry: {ambiguous: burry}\n",
			want: []string{`drover.yaml:2:20: retry.ambiguous must be again or next or bury, not "burry": did you mean "bury"?`},
		},
		"refused values leave the defaults": {
			file: sim + "retry: {max: 0s}\n",
			want: []string{`drover.yaml:2:14: retry.max must be at least 1ms, not 0s`},
		},
		"unknown names": {
			file: "models:\n  small: {provider: opnai}\n  large: {provider: simulator, quota: opnai}\nquotas: {openai: {concurrent: 1}}\nchains:\n  default: [smal, large, large]\nbudgets: [{model: larg, limit: 1}]\n",
			want: []string{
				`drover.yaml:2:21: models.small.provider must be openai or openai-responses or openai-embeddings or anthropic or gemini or simulator, not "opnai": did you mean "openai"?`,
				`drover.yaml:3:32: no quota "opnai" under quotas: did you mean "openai"?`,
				`drover.yaml:6:13: chains.default names the model "smal", which is not under models: did you mean "small"?`,
				`drover.yaml:6:26: chains.default names the model "large" twice`,
				`drover.yaml:7:12: budgets[0] names the model "larg", which is not under models: did you mean "large"?`,
			},
		},
		"chains that are not": {
			file: "models: {a: {provider: simulator}, b: {provider: simulator}}\nchains:\n  one: a\n  two: {models: [c], when_limited: never}\n  three: {when_limited: wait}\n",
			want: []string{
				`drover.yaml:3:8: chains.one must be a list, or a table of settings, not a single value`,
				`drover.yaml:4:18: chains.two.models names the model "c", which is not under models`,
				`drover.yaml:4:36: chains.two.when_limited must be wait or fallback or auto, not "never"`,
				`drover.yaml:5:3: chains.three has no models`,
			},
		},
		"incomplete": {
			file: "models:\n  a: {context: 4096}\n  b: {provider: simulator, price: {input: 1}}\n",
			want: []string{
				`drover.yaml:2:3: models.a.provider is missing: use openai, openai-responses, openai-embeddings, anthropic, gemini or simulator`,
				`drover.yaml:2:7: models.a.context (4096) leaves no room for a question: it must exceed max_output (4096)`,
				`drover.yaml:3:28: models.b.price needs both input and output`,
				`drover.yaml: chains is missing: say which models to try in order, such as default: [a, b]`,
			},
		},
		"empty": {file: "# nothing\n", want: []string{`drover.yaml: models is missing`}},
		"names that would break keys": {
			file: "models: {\"a{b}\": {provider: simulator}, m: {provider: simulator}}\nqueue: {prefix: a.b}\nredis: {prefix: \"\"}\n",
			want: []string{`drover.yaml:1:10: "a{b}" cannot be a name in models`, `drover.yaml:2:9: queue.prefix must be`, `drover.yaml:3:9: redis.prefix must be`},
		},
		"budgets": {
			file: sim + "budgets:\n  - {limit: 1, window: year}\n  - {limit: 1, zone: Mars/Phobos}\n  - {limit: 1, zone: Europe/Berlin}\n  - {limit: 1, alert_at: [0.5, 80]}\n  - {limit: 1}\n",
			want: []string{
				`drover.yaml:3:24: budgets[0].window must be day or week or month, not "year"`,
				`drover.yaml:4:22: budgets[1].zone must be a time zone such as UTC or Europe/Berlin`,
				`drover.yaml:5:16: budgets[2] has a time zone but no window`,
				`drover.yaml:6:32: budgets[3].alert_at[1] must be at most 1, not 80`,
				`drover.yaml:7:5: budgets[4] is the second budget called "everything"`,
			},
		},
		"soft limits": {
			file: sim + "budgets:\n  - {limit: 1, cheaper_at: 80}\n  - {limit: 1, name: \"a:b\"}\n  - {limit: 1, when_spent: cry}\nalerts: {webhook: \"ftp://example.com\", secret_env: hush}\n",
			want: []string{
				`drover.yaml:3:28: budgets[0].cheaper_at must be at most 1, not 80`,
				`drover.yaml:4:16: budgets[1].name: use 1 to 64 letters, digits, '.', '-', '_' or '/'`,
				`drover.yaml:5:28: budgets[2].when_spent must be pause or bury or expire, not "cry"`,
				`drover.yaml:6:10: alerts.webhook must be an address such as https://example.com/alerts, without a user or password`,
				`drover.yaml:6:40: alerts.secret_env must be the name of an environment variable`,
			},
		},
		"secret for nobody": {file: sim + "alerts: {secret_file: hush}\n", want: []string{`drover.yaml:2:1: alerts has a secret but no webhook to send it to`}},
		"not YAML":          {file: sim + "worker: {slots: 1\n", want: []string{`drover.yaml:2:9: not valid YAML`}},
		"same key twice":    {file: sim + sim, want: []string{`drover.yaml:2:1: not valid YAML`}},
		"second document":   {file: sim + "---\nworker: {}\n", want: []string{`drover.yaml:3:1: a second document begins here`}},
		"unknown anchor":    {file: "models: *nobody\n", want: []string{`drover.yaml:1:1: models is missing`, `drover.yaml:1:9: no anchor &nobody`}},
		"endless alias":     {file: "models: &a {m: {<<: *a}}\n", want: []string{`drover.yaml:1`}},
		"a list, no table":  {file: "- 1\n", want: []string{`drover.yaml:1:1: the file must be a table of settings, not a list`, `models is missing`}},
		"environment": {
			file: sim,
			env:  []string{"DROVER_WORKER_SLOT=3", "DROVER_WORKER_LEASE=soon", "DROVER_WORKER_HTTP=8080", "DROVER_TEST_ANYTHING=1"},
			want: []string{
				`DROVER_WORKER_SLOT: no setting has this variable: did you mean DROVER_WORKER_SLOTS?`,
				`DROVER_WORKER_HTTP: worker.http must be an address such as 127.0.0.1:8080, or off`,
				`DROVER_WORKER_LEASE: worker.lease must be a duration such as 30s, 5m or 1h30m, not "soon"`,
			},
		},
		"flags": {
			file: sim + "worker: {grace: x}\n", flags: []config.Flag{{Name: "--concurrency", Path: "worker.slots", Value: "0"}},
			want: []string{`drover.yaml:2:17: worker.grace`, `--concurrency: worker.slots must be at least 1, not 0`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, test.file)
			_, err := config.Load(config.Source{Path: dir, Environ: append(nothing, test.env...), Flags: test.flags})
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(strings.ReplaceAll(err.Error(), dir, "drover.yaml"), "\n")
			if len(lines) != len(test.want) {
				t.Errorf("%d lines, want %d:\n%s", len(lines), len(test.want), strings.Join(lines, "\n"))
			}
			for i, want := range test.want[:min(len(test.want), len(lines))] {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is\n  %s\nwant\n  %s", i+1, lines[i], want)
				}
			}
		})
	}
}

func TestNoSecretIsReadFromTheFileOrRepeated(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, want string }{
		"literal key":          {"models: {m: {provider: openai, api_key: sk-canary}}\n", "api_key_env"},
		"key as variable name": {"models: {m: {provider: openai, api_key_env: sk-canary}}\n", "name of an environment variable"},
		"literal token":        {sim + "tool_servers: {web: {url: \"https://host\", token: sk-canary}}\n", "token_env, or a file with token_file"},
		"literal secret":       {sim + "alerts: {webhook: \"https://host\", secret: sk-canary}\n", "secret_env, or a file with secret_file"},
		"literal password":     {sim + "redis: {password: sk-canary}\n", "password_env"},
		"password in address":  {sim + "nats: {url: \"nats://me:sk-canary@host\"}\n", "password_file"},
		"without a scheme":     {sim + "nats: {url: \"me:sk-canary@10.0.0.5:4222\"}\n", "password_file"},
		"in a second address":  {sim + "redis: {url: \"redis://a:6379, me:sk-canary@b\"}\n", "password_file"},
		"in the model's":       {"models: {m: {provider: openai, base_url: \"https://me:sk-canary@host\"}}\n", "without a user"},
		"broken address":       {sim + "redis: {url: \"redis://me:sk-canary@ho st\"}\n", "address alone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(config.Source{Path: write(t, test.file), Environ: nothing})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "drover.yaml:") {
				t.Errorf("error %q does not say %q and where", err, test.want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("error %q repeats the secret", err)
			}
		})
	}
}

func TestServersMayBeNamedByHostAndPort(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, sim+"nats: {url: \"10.0.0.5:4222,nats.internal\"}\nredis: {url: \"[::1]:6379\"}\n"), Environ: nothing})
	if c.NATS.URL != "10.0.0.5:4222,nats.internal" || c.Redis.URL != "[::1]:6379" {
		t.Errorf("servers %q and %q", c.NATS.URL, c.Redis.URL)
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Source{Path: "no/such/drover.yaml", Environ: nothing})
	if err == nil || !strings.Contains(err.Error(), "no/such/drover.yaml") {
		t.Errorf("error = %v", err)
	}
}
