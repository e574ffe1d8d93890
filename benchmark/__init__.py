"""The protocol: data sets, stages that read and write files, stored results, tables."""
