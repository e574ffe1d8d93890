"""The stages, one module each: what a stage writes, how it computes it, and how others read it."""
