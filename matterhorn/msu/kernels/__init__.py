"""Reads of arrays as compiled loops: work proportional to the events, noise included."""
