"""Street scenes that the benchmark draws itself, as a data set in four published layouts."""
