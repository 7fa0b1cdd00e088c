package config_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/drover-batch/drover/internal/config"
)

func Example() {
	dir, err := os.MkdirTemp("", "drover")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "drover.yaml")
	text := `
models:
  small: {provider: openai, model: gpt-4.1-mini, context: 1000000}
budgets:
  - {tenant: acme, window: day, limit: 50.00}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	cfg, err := config.Load(config.Source{
		Path:    path,
		Environ: []string{"DROVER_WORKER_SLOTS=8"},
		Flags:   []config.Flag{{Name: "--grace", Path: "worker.grace", Value: "10s"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Chains["default"].Models, cfg.Worker.Slots, cfg.Worker.Grace, cfg.Budgets[0].Limit)
	// Output: [small] 8 10s $50.00
}
