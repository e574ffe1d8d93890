"""One file a data set: its reader and its card (`RECORD`). A file that is put here is a data set."""
