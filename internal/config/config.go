package config

import (
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Config is everything that can be set. The tags of a field say what it is
// called in the file, its default, its bounds and what it means; the schema
// for editors and the names in the environment follow from them.
type Config struct {
	// Models are the models by name, complete but for their keys, which
	// ReadKeys fills in.
	Models map[string]jobs.Model `yaml:"-"`

	// ListedAs are the names in the list of prices of those models whose price
	// was found there, by model.
	ListedAs map[string]string `yaml:"-"`

	Prices      string                `yaml:"prices" help:"file with prices of models that have none here, as enqueue prices import writes it"`
	Quotas      map[string]Quota      `yaml:"quotas" help:"limits for the whole fleet, by name; a model uses the one it names, or the one of its own name"`
	Chains      map[string]Chain      `yaml:"chains" help:"models to try in order, by name; the chain default is used unless a batch names another"`
	Retry       Retry                 `yaml:"retry" help:"how a model that failed is asked again"`
	Breaker     Breaker               `yaml:"breaker" help:"when a model that fails is left alone, by the whole fleet"`
	Budgets     []Budget              `yaml:"budgets" help:"limits on what is spent; all that apply to a call must agree to it"`
	Alerts      Alerts                `yaml:"alerts" help:"who is told when a share of a budget is spent, besides the log, the metrics and NATS"`
	Guardrails  Guardrails            `yaml:"guardrails" help:"bounds of one conversation with tools, and of the pieces of one document"`
	ToolServers map[string]ToolServer `yaml:"tool_servers" help:"MCP servers whose tools models may use, by the name that lists of tools use"`
	Traces      Traces                `yaml:"traces" help:"who besides the collector is told of traces, which OpenTelemetry's variables ask for"`
	Worker      Worker                `yaml:"worker" help:"how a worker process runs"`
	Queue       Queue                 `yaml:"queue" help:"how jobs are kept in JetStream"`
	NATS        NATS                  `yaml:"nats" help:"where the queue is"`
	Redis       Redis                 `yaml:"redis" help:"where breakers, limits and budgets are shared"`

	// Simulated is set when nothing but the built-in simulator is configured,
	// because nobody named a file or a model.
	Simulated bool `yaml:"-"`

	name string               // of the file, for errors
	keys map[string]keySource // by model
	env  map[string]string
}

// Chain is who is asked, in order, and what their conversations with tools may
// do. The file may give the list of models alone.
type Chain struct {
	Models      []string         `yaml:"models" alone:"true" help:"models to try in order"`
	WhenLimited jobs.WhenLimited `yaml:"when_limited" default:"auto" enum:"wait|fallback|auto" help:"what a job does whose model's quota is used up for now: wait as long as it takes, fall back to the next model if that is more than a moment, or auto: a model that costs no more if it is free sooner, a dearer one only if the batch would miss its deadline otherwise"`

	Agent Agent `yaml:",inline"`
}

// Quota is what a provider allows. 0 means no limit of that sort.
type Quota struct {
	Requests   int64 `yaml:"requests_per_minute" min:"1" help:"calls per minute"`
	Tokens     int64 `yaml:"tokens_per_minute" min:"1" help:"tokens per minute, in and out"`
	Concurrent int64 `yaml:"concurrent" min:"1" help:"calls at the same time"`
}

// Retry is how a model that failed is asked again.
type Retry struct {
	Tries     int                 `yaml:"tries" default:"3" min:"1" help:"calls of one model that may fail before the next model is asked"`
	Most      int                 `yaml:"most" default:"10" min:"1" help:"the same over all deliveries of a job: one that fails every probe of an outage is buried then"`
	Base      time.Duration       `yaml:"base" default:"1s" min:"1ms" help:"bound of the first wait; doubled by each further one"`
	Max       time.Duration       `yaml:"max" default:"60s" min:"1ms" help:"bound of every wait"`
	Ambiguous jobs.AfterAmbiguous `yaml:"ambiguous" default:"again" enum:"again|next|bury" help:"after a call that was sent and of which nobody knows whether it was paid for: ask the same model again, only the next, or bury the document, so that nobody but a replay pays a second time"`
	Patience  time.Duration       `yaml:"patience" default:"30s" min:"0s" help:"how long limits of one model are waited out in the slot; beyond it the job goes back to the queue for a while"`
}

// Breaker is when a model's circuit opens and how it closes.
type Breaker struct {
	Failures int           `yaml:"failures" default:"5" min:"1" help:"failures in a row that open the circuit"`
	Recovery time.Duration `yaml:"recovery" default:"30s" min:"1ms" help:"how long it stays open before probes are let through"`
	Probes   int           `yaml:"probes" default:"3" min:"1" help:"calls let through at once while half open; as many successes close it"`
	Window   time.Duration `yaml:"window" default:"60s" min:"1s" help:"how far back the rate of failures is taken"`
	Volume   int           `yaml:"volume" default:"20" min:"1" help:"fewer calls in the window say nothing about the rate"`
	Rate     float64       `yaml:"rate" default:"0.5" min:"0.01" max:"1" help:"share of failures in the window that opens the circuit"`
}

// Budget is a limit on what the calls it applies to may cost. Empty tenant
// and model mean everybody's and every one.
type Budget struct {
	Name      string     `yaml:"name" help:"what reports call it; default: made of tenant, model and window"`
	Tenant    string     `yaml:"tenant" help:"only this tenant's calls"`
	Model     string     `yaml:"model" help:"only calls of this model"`
	Window    string     `yaml:"window" enum:"day|week|month" help:"when spending starts over, weeks on Monday; left out: never"`
	Zone      Zone       `yaml:"zone" default:"UTC" help:"the time zone days, weeks and months are counted in, such as Europe/Berlin"`
	Limit     jobs.USD   `yaml:"limit" help:"US dollars"`
	AlertAt   []float64  `yaml:"alert_at" min:"0.01" max:"1" help:"shares of the limit at which to raise an alert"`
	CheaperAt float64    `yaml:"cheaper_at" min:"0.01" max:"1" help:"share of the limit from which the cheaper models of a chain are asked first; left out: never"`
	WhenSpent jobs.Spent `yaml:"when_spent" default:"pause" enum:"pause|bury|expire" help:"what becomes of jobs once it is used up: they wait for a higher limit or the next turn, become dead letters, or end without an answer"`
}

// Alerts is who is told of soft limits.
type Alerts struct {
	Webhook    string `yaml:"webhook" help:"address that gets each alert as a POST of JSON, tried four times"`
	SecretEnv  string `yaml:"secret_env" help:"environment variable that holds a secret to send along, as Authorization: Bearer"`
	SecretFile string `yaml:"secret_file" help:"file that holds it"`
}

// Traces is who is told of them.
type Traces struct {
	Propagate bool `yaml:"propagate" help:"send the header traceparent with calls of models and of tools at an address, so that their spans hang under the job's; for servers of your own, since it tells whoever runs them the ids of your traces"`
}

// Guardrails bound one conversation with tools, and the pieces of a document.
type Guardrails struct {
	Iterations int           `yaml:"iterations" default:"20" min:"1" help:"answers of models"`
	ToolCalls  int           `yaml:"tool_calls" default:"50" min:"1" help:"runs of tools"`
	Duration   time.Duration `yaml:"duration" default:"300s" min:"1s" help:"worked on, from the first question on; the time between two workers does not count"`
	Tokens     int64         `yaml:"tokens" default:"100000" min:"1" help:"sent and answered by all calls together"`
	Pieces     int           `yaml:"pieces" default:"50" min:"2" help:"parts that a document may be cut into, where a batch says --overflow split"`
}

// Worker is how a worker process runs.
type Worker struct {
	Slots     int           `yaml:"slots" default:"64" min:"1" max:"100000" help:"jobs worked on at the same time; up to a quarter more, 16 at the most, of batches that would wait for a slot with all of theirs"`
	Grace     time.Duration `yaml:"grace" default:"30s" min:"0s" help:"how long running calls may take to finish when it is stopped"`
	Lease     time.Duration `yaml:"lease" default:"30s" min:"1s" help:"how long a job stays with a worker that is not heard of"`
	Data      string        `yaml:"data" default:".drover" help:"folder for what it keeps, embedded servers included"`
	Spool     Bytes         `yaml:"spool" default:"1GiB" min:"0" help:"most that may wait in that folder for NATS to come back; no calls are made once it is full. 0 keeps nothing there: answers then wait in their slots, and are lost after queue.store_patience"`
	Allowance jobs.USD      `yaml:"allowance" help:"US dollars that the calls of one batch to one model may go on to cost in this worker while Redis is away. The amount is held beforehand, in every budget that applies. 0: no new calls then"`
	HTTP      string        `yaml:"http" default:"127.0.0.1:8080" help:"address of health checks and metrics; off for none"`
}

// Queue is how jobs are kept in JetStream. All processes of a fleet must agree
// on Prefix.
type Queue struct {
	Prefix         string        `yaml:"prefix" default:"drover" help:"begins the names of streams and subjects"`
	Replicas       int           `yaml:"replicas" default:"1" min:"1" max:"5" help:"servers of a NATS cluster that keep each message: 1, 3 or 5; changed by enqueue setup only"`
	MaxBytes       Bytes         `yaml:"max_bytes" default:"8GiB" min:"1MiB" help:"bound of the jobs that wait; enqueueing waits when it is reached. Keep it well below the disk; embedded servers take at most half of the room there is"`
	MaxLiveBatches int           `yaml:"max_live_batches" default:"2048" min:"1" max:"10000" help:"batches that may be under way at the same time, in all workers together; each takes NATS 50 KB of memory. Others begin as these end; a quarter of the places is kept for tenants with none and for batches that would miss their deadline"`
	MaxDeliveries  int           `yaml:"max_deliveries" default:"5" min:"2" help:"workers a job may kill before it is buried"`
	StorePatience  time.Duration `yaml:"store_patience" default:"2m" min:"1s" help:"how long storing an outcome is tried again while NATS is away and there is no room for it on disk"`
	CacheFor       time.Duration `yaml:"cache_for" default:"168h" min:"0s" help:"how long answers are remembered for batches that accept cached ones"`
}

// NATS is where the queue is. Without URL, the servers of a worker --embedded
// in the same data folder are used, else nats://127.0.0.1:4222.
type NATS struct {
	URL          string `yaml:"url" help:"address, or several separated by commas"`
	User         string `yaml:"user" help:"whom to connect as"`
	PasswordEnv  string `yaml:"password_env" default:"NATS_PASSWORD" help:"environment variable that holds the password"`
	PasswordFile string `yaml:"password_file" help:"file that holds the password"`
	CredsFile    string `yaml:"creds_file" help:"NATS credentials file, instead of user and password"`
	TLS          TLS    `yaml:"tls" help:"certificates, where the system's do not do"`
	Monitor      string `yaml:"monitor" help:"the server's HTTP monitoring address, or all of a cluster's separated by commas, such as http://127.0.0.1:8222: a worker asks there at its start whether every write is synced, and warns if not"`
}

// Redis is where shared state is. Without URL, the servers of a worker
// --embedded in the same data folder are used, else redis://127.0.0.1:6379.
type Redis struct {
	URL          string `yaml:"url" help:"redis://host:port/db, rediss:// for TLS; several, separated by commas, are a cluster's nodes, or the Sentinels"`
	Cluster      bool   `yaml:"cluster" help:"the one address is a cluster's"`
	User         string `yaml:"user" help:"whom to connect as"`
	PasswordEnv  string `yaml:"password_env" default:"REDIS_PASSWORD" help:"environment variable that holds the password"`
	PasswordFile string `yaml:"password_file" help:"file that holds the password"`
	Prefix       string `yaml:"prefix" default:"drover" help:"begins every key, as {drover}:"`
	TLS          TLS    `yaml:"tls" help:"certificates, where the system's do not do"`

	Sentinel             string `yaml:"sentinel" help:"name of the master that the Sentinels at url watch, such as mymaster"`
	SentinelUser         string `yaml:"sentinel_user" help:"whom to connect to the Sentinels as"`
	SentinelPasswordEnv  string `yaml:"sentinel_password_env" default:"REDIS_SENTINEL_PASSWORD" help:"environment variable that holds the Sentinels' password"`
	SentinelPasswordFile string `yaml:"sentinel_password_file" help:"file that holds the Sentinels' password"`
}

// TLS names certificates in PEM files.
type TLS struct {
	CAFile   string `yaml:"ca_file" help:"whom to trust, instead of the system's authorities"`
	CertFile string `yaml:"cert_file" help:"our own certificate"`
	KeyFile  string `yaml:"key_file" help:"its key"`
}

// document is the file: Config and what becomes Config.Models.
type document struct {
	Models map[string]model `yaml:"models" help:"whom to ask, by name"`
	Config `yaml:",inline"`
}

// model is how the file describes a jobs.Model.
type model struct {
	Provider    string        `yaml:"provider" enum:"openai|openai-responses|openai-embeddings|anthropic|gemini|simulator" help:"the wire protocol; openai, chat completions, is every compatible server's too; openai-embeddings answers with the document's vector"`
	Model       string        `yaml:"model" help:"what the provider calls it; default: the name above"`
	BaseURL     string        `yaml:"base_url" help:"where it is; default: the provider's own"`
	APIKeyEnv   string        `yaml:"api_key_env" help:"environment variable that holds the key; default, at the provider's own address: OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY"`
	APIKeyFile  string        `yaml:"api_key_file" help:"file that holds the key"`
	Context     int           `yaml:"context" default:"128000" min:"2" help:"most tokens of question and answer together; default, where the price is looked up: as many as it holds for"`
	MaxOutput   int           `yaml:"max_output" default:"4096" min:"1" help:"most tokens of an answer"`
	Timeout     time.Duration `yaml:"timeout" default:"60s" min:"1ms" help:"of one call"`
	Quota       string        `yaml:"quota" help:"the limits it shares with other models; default: the quota of its own name, if there is one"`
	Price       *price        `yaml:"price" help:"US dollars per million tokens; default: looked up, at the provider's own address"`
	PricedAs    string        `yaml:"priced_as" help:"its name in the list of prices; default: what the provider calls it, at the provider's own address"`
	Vision      *bool         `yaml:"vision" help:"it sees images; default: false, true for the simulator"`
	Structured  *bool         `yaml:"structured" help:"it can be held to a JSON Schema by the provider; default: false, true for the simulator. Others are told it in the system prompt, and answers are checked either way"`
	Temperature *float64      `yaml:"temperature" min:"0" max:"2" help:"left to the provider unless set"`
	Effort      string        `yaml:"effort" enum:"none|minimal|low|medium|high|xhigh|max" help:"how hard a model that reasons thinks before it answers, which counts as output and within max_output; left to the provider unless set. Not every model takes every word"`
}

type price struct {
	Input       *jobs.USD `yaml:"input" help:"what is sent"`
	CachedInput *jobs.USD `yaml:"cached_input" help:"what is sent and the provider had cached; default: as input"`
	CacheWrite  jobs.USD  `yaml:"cache_write" help:"what is sent and the provider puts into its cache; default: as input"`
	Output      *jobs.USD `yaml:"output" help:"what is answered"`
	AsOf        string    `yaml:"as_of" help:"the day it was looked up, as 2006-01-02"`
}
