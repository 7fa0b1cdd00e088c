package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-batch/drover/internal/config"
)

func TestKeysAreReadWhenAskedFor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, config.Source{
		Path: write(t, `
models:
  usual: {provider: openai}
  named: {provider: openai, api_key_env: MY_KEY}
  filed: {provider: openai, api_key_file: `+file+`}
  local: {provider: openai, base_url: "http://127.0.0.1:11434/v1"}
  spare: {provider: anthropic}
chains: {default: [usual, named, filed, local], other: [spare]}
`),
		Environ: []string{"OPENAI_API_KEY=from-openai", "MY_KEY=from-mine"},
	})
	if !c.Models["usual"].Key.Empty() {
		t.Error("a key was read before anybody asked for it")
	}
	if err := c.ReadKeys("default"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"usual": "from-openai", "named": "from-mine", "filed": "from-file", "local": ""} {
		if got := c.Models[name].Key.Reveal(); got != want {
			t.Errorf("key of %s = %q, want %q", name, got, want)
		}
	}
	err := c.ReadKeys()
	if err == nil || !strings.Contains(err.Error(), "drover.yaml:7:3: no key for the model spare: the environment variable ANTHROPIC_API_KEY is not set") {
		t.Errorf("error = %v; want the missing variable and where it belongs", err)
	}
}

func TestEveryMissingKeyIsReported(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, strings.Replace(design, "  large: {provider: anthropic, model: claude-sonnet-4-5, api_key_env: ANTHROPIC_API_KEY", "  large: {provider: anthropic, api_key_file: /no/such/key", 1))})
	err := c.ReadKeys()
	if err == nil || !strings.Contains(err.Error(), "OPENAI_API_KEY") || !strings.Contains(err.Error(), "/no/such/key") {
		t.Errorf("error = %v; want both keys", err)
	}
}

func TestServerPasswordsAreOptionalUnlessNamed(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, sim), Environ: []string{"REDIS_PASSWORD=given"}})
	if nats, err := c.NATSPassword(); err != nil || !nats.Empty() {
		t.Errorf("NATS password = %v, %v; want none", nats, err)
	}
	if redis, err := c.RedisPassword(); err != nil || redis.Reveal() != "given" {
		t.Errorf("Redis password: %v; want the one of REDIS_PASSWORD", err)
	}
	c = load(t, config.Source{Path: write(t, sim+"nats: {password_env: QUEUE_PASSWORD}\nredis: {password_file: /no/such/file}\n")})
	if _, err := c.NATSPassword(); err == nil || !strings.Contains(err.Error(), "QUEUE_PASSWORD is not set") {
		t.Errorf("error = %v; want the variable", err)
	}
	if _, err := c.RedisPassword(); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("error = %v; want the file", err)
	}
}

func TestSingleModelFindsItsProvider(t *testing.T) {
	t.Parallel()
	const openai, anthropic = "OPENAI_API_KEY=o", "ANTHROPIC_API_KEY=a"
	for name, test := range map[string]struct {
		single        config.Single
		env           []string
		provider, url string
		key           string
	}{
		"openai":                {config.Single{Model: "gpt-4.1-mini"}, []string{openai}, "openai", "https://api.openai.com/v1", "o"},
		"anthropic":             {config.Single{Model: "sonnet"}, []string{anthropic}, "anthropic", "https://api.anthropic.com/v1", "a"},
		"where tools are taken": {config.Single{Model: "gpt-6.1-sol"}, []string{openai, anthropic}, "openai-responses", "https://api.openai.com/v1", "o"},
		"claude, both keys":     {config.Single{Model: "claude-sonnet-4-5"}, []string{openai, anthropic}, "anthropic", "https://api.anthropic.com/v1", "a"},
		"local":                 {config.Single{Model: "llama3:8b", BaseURL: "http://127.0.0.1:11434/v1"}, nil, "openai", "http://127.0.0.1:11434/v1", ""},
		"compatible":            {config.Single{Model: "m", BaseURL: "https://host/v1/"}, []string{openai}, "openai", "https://host/v1", "o"},
		"no key in the clear":   {config.Single{Model: "m", BaseURL: "http://host/v1"}, []string{openai}, "openai", "http://host/v1", ""},
		"gemini by its name":    {config.Single{Model: "gemini-2.5-flash"}, []string{openai, "GEMINI_API_KEY=g"}, "gemini", "https://generativelanguage.googleapis.com/v1beta", "g"},
		"vectors by name":       {config.Single{Model: "text-embedding-3-small"}, []string{openai}, "openai-embeddings", "https://api.openai.com/v1", "o"},
		"unless asked to":       {config.Single{Model: "m", BaseURL: "http://host/v1", KeyEnv: "K"}, []string{"K=k"}, "openai", "http://host/v1", "k"},
		"azure":                 {config.Single{Model: "d", BaseURL: "https://acme.openai.azure.com/openai/deployments/d?api-version=2024-10-21", KeyEnv: "K"}, []string{"K=k"}, "openai", "https://acme.openai.azure.com/openai/deployments/d?api-version=2024-10-21", "k"},
		"a name to clean":       {config.Single{Model: "@cf/meta llama", BaseURL: "http://[::1]:1/v1"}, []string{openai}, "openai", "http://[::1]:1/v1", "o"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := load(t, config.Source{Single: &test.single, Environ: append(nothing, test.env...)})
			if err := c.ReadKeys(); err != nil {
				t.Fatal(err)
			}
			chain, err := c.Chain("default")
			if err != nil || len(chain) != 1 {
				t.Fatalf("chain = %+v, %v", chain, err)
			}
			m := chain[0]
			if m.Provider != test.provider || m.BaseURL != test.url || m.Upstream != test.single.Model || m.Key.Reveal() != test.key {
				t.Errorf("model = %+v with the key %q, want %+v", m, m.Key.Reveal(), test)
			}
			if thinks := test.provider == "anthropic" || test.provider == "gemini" || test.provider == "openai-responses"; (m.MaxOutput == 16_000) != thinks {
				t.Errorf("%s may answer with %d tokens", m.Upstream, m.MaxOutput)
			}
		})
	}
}

func TestSingleModelSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	for want, single := range map[string]config.Single{
		"ANTHROPIC_API_KEY or GEMINI_API_KEY": {Model: "gpt-4.1"},
		"needs --model":                       {BaseURL: "http://127.0.0.1:1/v1"},
		"not an address":                      {Model: "m", BaseURL: "localhost"},
		"must be an address alone":            {Model: "m", BaseURL: "https://host/v1?key=sk-canary"},
	} {
		_, err := config.Load(config.Source{Single: &single, Environ: nothing})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
	_, err := config.Load(config.Source{Path: "drover.yaml", Single: &config.Single{Model: "m"}, Environ: nothing})
	if err == nil || !strings.Contains(err.Error(), "use one of them") {
		t.Errorf("error = %v; a file and a model contradict each other", err)
	}
}

func TestCertificatesAreLoaded(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, sim), Environ: nothing})
	if got, err := c.NATSTLS(); got != nil || err != nil {
		t.Errorf("without certificates: %v, %v; want nil, nil", got, err)
	}
	cert, key := pair(t)
	c.NATS.TLS = config.TLS{CAFile: cert, CertFile: cert, KeyFile: key}
	if got, err := c.NATSTLS(); err != nil || got.RootCAs == nil || len(got.Certificates) != 1 {
		t.Errorf("with certificates: %+v, %v", got, err)
	}
	c.Redis.TLS = config.TLS{CAFile: key}
	if _, err := c.RedisTLS(); err == nil || !strings.Contains(err.Error(), "drover.yaml: redis.tls.ca_file: "+key+" holds no certificate") {
		t.Errorf("error = %v; want the setting and the file that holds no certificate", err)
	}
	_, err := config.Load(config.Source{Path: write(t, sim+"redis: {tls: {cert_file: a}}\n"), Environ: nothing})
	if err == nil || !strings.Contains(err.Error(), "drover.yaml:2:9: redis.tls needs both cert_file and key_file") {
		t.Errorf("error = %v", err)
	}
}

func TestFilesAreFoundFromTheConfigurationsFolder(t *testing.T) {
	t.Parallel()
	path := write(t, "models: {small: {provider: openai, api_key_file: keys/small, price: {input: 1, output: 2}}}\nchains: {default: [small]}\n"+
		"nats: {creds_file: /run/nats.creds}\nredis: {tls: {ca_file: ca.pem}}\n")
	dir := filepath.Dir(path)
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys", "small"), []byte("sk-canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, config.Source{Path: path, Environ: []string{"DROVER_REDIS_PASSWORD_FILE=here"}})
	if err := c.ReadKeys("default"); err != nil {
		t.Errorf("the key's file beside the configuration was not read: %v", err)
	}
	if want := filepath.Join(dir, "ca.pem"); c.Redis.TLS.CAFile != want {
		t.Errorf("ca_file = %s, want %s", c.Redis.TLS.CAFile, want)
	}
	if c.NATS.CredsFile != "/run/nats.creds" || c.Redis.PasswordFile != "here" {
		t.Errorf("creds_file = %s, password_file = %s; want what is absolute, or from the environment, as it is", c.NATS.CredsFile, c.Redis.PasswordFile)
	}
}

// pair writes a certificate that signs itself, and its key.
func pair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert"), filepath.Join(dir, "key")
}

func TestSentinelsAreNamedCompletely(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{
		Path:    write(t, sim+"redis: {sentinel: mymaster, sentinel_user: drover}\n"),
		Environ: []string{"REDIS_URL=redis://a:26379,redis://b:26379", "REDIS_SENTINEL_PASSWORD=given"},
	})
	if password, err := c.SentinelPassword(); err != nil || password.Reveal() != "given" || c.Redis.SentinelUser != "drover" {
		t.Errorf("user %q, password: %v; want the one of REDIS_SENTINEL_PASSWORD", c.Redis.SentinelUser, err)
	}
	for file, want := range map[string]string{
		"redis: {sentinel: mymaster}":                                             "does not say where the Sentinels are",
		"redis: {sentinel: mymaster, cluster: true, url: \"redis://a\"}":          "use one of them",
		"redis: {sentinel_user: drover, url: \"redis://a\"}":                      "redis.sentinel is missing",
		"redis: {sentinel: m, url: \"redis://a\", sentinel_password_env: secret}": "redis.sentinel_password_env must be the name",
	} {
		_, err := config.Load(config.Source{Path: write(t, sim+file+"\n"), Environ: nothing})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", file, err, want)
		}
	}
}
