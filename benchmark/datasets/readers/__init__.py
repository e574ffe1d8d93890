"""Readers, one module per data set: the reader and the data set's card (`RECORD`). Modules are found automatically."""
