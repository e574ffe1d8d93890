"""Judging: finished cells become tables, ranks and tests."""
