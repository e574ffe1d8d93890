"""The metrics, a module a family: functions on arrays, and what each of them is in which convention.

A module here that has a tuple `METRICS` is found by itself.
"""
