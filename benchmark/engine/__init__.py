"""The engine: run the stages of an experiment and store their results in cells."""
