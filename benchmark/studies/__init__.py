"""Studies built on the engine: ablations, sweeps, the gaming check, the cost of networks."""
