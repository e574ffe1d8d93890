"""Making: an experiment becomes finished cells, stage after stage."""
