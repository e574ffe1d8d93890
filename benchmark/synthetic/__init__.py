"""Synthetic street scenes, as a data set in four published layouts."""
