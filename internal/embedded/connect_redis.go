package embedded

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/drover-batch/drover/jobs"
)

// RedisOptions says which Redis server to use, as whom.
type RedisOptions struct {
	// URL is redis://host:port/db, or rediss:// for TLS. Several, separated by
	// commas, are the nodes of a cluster, or the Sentinels. Default
	// redis://127.0.0.1:6379.
	URL      string
	Cluster  bool        // the one address is a cluster's
	User     string      // replaces the one in URL
	Password jobs.Secret // replaces the one in URL
	TLS      *tls.Config // nil: as the scheme of URL says

	// Sentinel is the name of the master that the Sentinels at URL watch; ""
	// if there are none. The client follows the master through failovers.
	Sentinel         string
	SentinelUser     string
	SentinelPassword jobs.Secret
}

// ConnectRedis connects and checks that the server keeps what it is given. The
// note, if any, is a warning for the operator. The client reconnects as
// needed and never repeats a command on its own; the caller closes it.
func ConnectRedis(ctx context.Context, o RedisOptions) (client redis.UniversalClient, note string, err error) {
	servers, err := addresses(cmp.Or(o.URL, "redis://127.0.0.1:6379"), "redis", "rediss")
	if err != nil {
		return nil, "", fmt.Errorf("reading the address of Redis: %w", err)
	}
	opts, err := redisOptions(servers, o)
	if err != nil {
		return nil, "", err
	}
	client = newClient(opts)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		_ = client.Close()
		return nil, "", unreachable(err, servers, o)
	}
	note, err = checkRedis(ctx, client)
	if err != nil {
		_ = client.Close()
		return nil, "", fmt.Errorf("the Redis server at %s %w", shown(servers), err)
	}
	return client, note, nil
}

// newClient makes one that asks a cluster every second who its masters are. By
// itself it would go on for a minute to ask one that is dead.
func newClient(opts *redis.UniversalOptions) redis.UniversalClient {
	if !opts.IsClusterMode {
		return redis.NewUniversalClient(opts)
	}
	cluster := opts.Cluster()
	cluster.ClusterStateReloadInterval = time.Second
	return redis.NewClusterClient(cluster)
}

func redisOptions(servers []*url.URL, o RedisOptions) (*redis.UniversalOptions, error) {
	first := servers[0]
	password, _ := first.User.Password()
	opts := &redis.UniversalOptions{
		Username:      cmp.Or(o.User, first.User.Username()),
		Password:      cmp.Or(o.Password.Reveal(), password),
		TLSConfig:     o.TLS,
		IsClusterMode: o.Sentinel == "" && (o.Cluster || len(servers) > 1),

		MasterName:       o.Sentinel,
		SentinelUsername: o.SentinelUser,
		SentinelPassword: o.SentinelPassword.Reveal(),
	}
	if db := strings.Trim(first.Path, "/"); db != "" {
		n, err := strconv.Atoi(db)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("the address of Redis at %s ends in %q: only the number of a database may follow the port", shown(servers), db)
		}
		opts.DB = n
	}
	usual := "6379"
	if o.Sentinel != "" {
		usual = "26379"
	}
	for _, u := range servers {
		opts.Addrs = append(opts.Addrs, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), usual)))
		if u.Scheme == "rediss" && opts.TLSConfig == nil {
			opts.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // each server is held to the name it is reached by
		}
	}
	steady(opts)
	return opts, nil
}

// The client would print its own lines between ours, of what we tell anyway.
func init() { logging.Disable() }

// steady sets what every client of ours relies on: no command is ever run
// twice behind our back, and a context's deadline holds. A cluster's client
// follows redirections all the same, and may send again then: every script of
// ours can be repeated.
func steady(opts *redis.UniversalOptions) {
	opts.MaxRetries = -1
	opts.DialerRetries = 1
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func unreachable(err error, servers []*url.URL, o RedisOptions) error {
	if o.Sentinel != "" {
		if sentinels := unguarded(err, servers, o); sentinels != nil {
			return sentinels
		}
	}
	switch text := err.Error(); {
	case redis.IsAuthError(err), strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOAUTH"):
		return fmt.Errorf("redis at %s does not accept the user and password it was given: check REDIS_URL, redis.user and the password (REDIS_PASSWORD)", shown(servers))
	case redis.IsLoadingError(err):
		return fmt.Errorf("redis at %s is still loading its data: try again in a moment", shown(servers))
	}
	advice := cmp.Or(distrust(err, "redis.tls", "redis", "rediss", servers[0].Scheme), "Start one with: docker compose -f deploy/compose.yaml up -d redis, or run worker --embedded")
	return fmt.Errorf("cannot reach Redis at %s: %s. %s", shown(servers), scrub(reason(err), passwords(servers, o.Password)...), advice)
}

// unguarded says why the Sentinels named no master; nil if they did.
func unguarded(err error, servers []*url.URL, o RedisOptions) error {
	text := err.Error()
	switch {
	case !strings.Contains(text, "all sentinels"):
		return nil
	case errors.Is(err, redis.Nil):
		return fmt.Errorf("the Sentinels at %s watch no master called %q: check redis.sentinel", shown(servers), o.Sentinel)
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"), strings.Contains(text, "without any password configured"):
		return fmt.Errorf("the Sentinels at %s do not accept the user and password they were given: check redis.sentinel_user and the password (REDIS_SENTINEL_PASSWORD)", shown(servers))
	case strings.Contains(text, "unknown command"):
		return fmt.Errorf("at %s is no Sentinel: redis.url has to name the Sentinels, not the servers they watch, when redis.sentinel is set", shown(servers))
	}
	return fmt.Errorf("cannot reach a Sentinel at %s: %s", shown(servers), scrub(reason(err), passwords(servers, o.SentinelPassword)...))
}

// checkRedis refuses a server that is too old or may drop keys on its own: a
// limit or a sum of money that vanished would read as nothing spent.
func checkRedis(ctx context.Context, client redis.UniversalClient) (note string, err error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return checkNode(ctx, client)
	}
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		_, err := checkNode(ctx, node)
		return err
	})
	return "", err
}

func checkNode(ctx context.Context, node redis.UniversalClient) (note string, err error) {
	server, err := node.Info(ctx, "server").Result()
	if redis.IsPermissionError(err) {
		return "the Redis user may not run INFO: nobody has checked that the version is 6.2 or later and maxmemory-policy is noeviction, and a restart or a failover, which may lose what was just spent, goes unnoticed", nil
	}
	if err != nil {
		return "", fmt.Errorf("does not tell its version: %s", reason(err))
	}
	if v := parseVersion(field(server, "redis_version")); v.before(oldestRedis) {
		return "", fmt.Errorf("has version %s, which is too old: Drover needs %s", v, oldestRedis)
	}
	memory, err := node.Info(ctx, "memory").Result()
	if err != nil {
		return "", fmt.Errorf("does not tell how it uses memory: %s", reason(err))
	}
	switch policy := field(memory, "maxmemory_policy"); policy {
	case "noeviction":
		return "", nil
	case "":
		return "Redis does not tell its maxmemory-policy: make sure that it is noeviction", nil
	default:
		return "", fmt.Errorf("may drop keys when memory runs out (maxmemory-policy %s), limits and budgets among them: set maxmemory-policy to noeviction", policy)
	}
}

// field finds name:value in what INFO returned.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
