package config

import "path/filepath"

// beside has the files that the configuration names found from its own folder,
// wherever the command is run.
func (d *document) beside(path string) {
	dir := filepath.Dir(path)
	from := func(file string) string {
		if file == "" || filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(dir, file)
	}
	for _, file := range []*string{
		&d.Prices, &d.Alerts.SecretFile,
		&d.NATS.PasswordFile, &d.NATS.CredsFile, &d.Redis.PasswordFile, &d.Redis.SentinelPasswordFile,
		&d.NATS.TLS.CAFile, &d.NATS.TLS.CertFile, &d.NATS.TLS.KeyFile,
		&d.Redis.TLS.CAFile, &d.Redis.TLS.CertFile, &d.Redis.TLS.KeyFile,
	} {
		*file = from(*file)
	}
	for name, m := range d.Models {
		m.APIKeyFile = from(m.APIKeyFile)
		d.Models[name] = m
	}
	for name, server := range d.ToolServers {
		server.TokenFile = from(server.TokenFile)
		d.ToolServers[name] = server
	}
}
