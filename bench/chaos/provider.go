package main

import "github.com/drover-batch/drover/llm/simulator"

// odds are what goes wrong with a few calls all the time.
var odds = simulator.Odds{
	"500": 0.02, "429": 0.02, "422": 0.005, simulator.Drop: 0.015, simulator.Cut: 0.015, simulator.Truncate: 0.01,
	simulator.Hang: 0.01, simulator.NoUsage: 0.02, simulator.Length: 0.005, simulator.Refuse: 0.005,
}
