"""The stages, a module each: what it writes, how it is made, and how others read it."""
