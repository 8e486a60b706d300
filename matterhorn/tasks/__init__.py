"""Rows and metrics: GLUE as data, tokens, evaluation with an engine, result files. Needs no torch."""
