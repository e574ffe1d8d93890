"""The benchmark: data sets, the stages of a run, stored results, tables, figures and the report."""
