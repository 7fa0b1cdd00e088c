package embedded

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// PersistenceNote finds out what a restart or a power cut would take from
// Redis and returns a warning for the operator, if there is need for one. A
// user who may ask neither INFO nor CONFIG gets none: then nobody can tell. It
// blocks for seconds at the most.
func PersistenceNote(ctx context.Context, client redis.UniversalClient) (note string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return persistence(ctx, client)
	}
	notes := make(chan string, 1)
	_ = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		if text := persistence(ctx, node); text != "" {
			select {
			case notes <- text:
			default:
			}
		}
		return nil
	})
	select {
	case note = <-notes:
	default:
	}
	return note
}

func persistence(ctx context.Context, node redis.UniversalClient) string {
	info, err := node.Info(ctx, "persistence").Result()
	if err != nil {
		return ""
	}
	const remedy = ", and nothing is asked until the sums are rebuilt from the book; set appendonly yes and appendfsync always, see deploy/config/redis.conf"
	switch field(info, "aof_enabled") {
	case "1":
		if every, ok := config(ctx, node, "appendfsync"); ok && every != "always" {
			return "Redis does not sync every write (appendfsync " + every + "): a power cut may undo its last moments, such as a circuit that has just opened" + remedy
		}
	case "0":
		if save, ok := config(ctx, node, "save"); ok && save == "" {
			return "Redis keeps nothing on disk (appendonly no): a restart forgets circuits and quotas" + remedy
		}
		return "Redis keeps no log of its writes (appendonly no): a restart undoes what happened since its last snapshot" + remedy
	}
	return ""
}

// config reads a setting of the server; ok is false if we may not.
func config(ctx context.Context, node redis.UniversalClient, name string) (value string, ok bool) {
	values, err := node.ConfigGet(ctx, name).Result()
	if err != nil {
		return "", false
	}
	value, ok = values[name]
	return value, ok
}
