"""Spiking transformers with masked time-to-first-spike codes."""
__version__ = "0.2.0"
