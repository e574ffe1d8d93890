"""What is asked of the rest: ablations, sweeps, gaming, cost."""
