"""Matterhorn: spiking transformers with masked time-to-first-spike codes.

The rooms: :mod:`~matterhorn.coding` (levels and spikes), :mod:`~matterhorn.nn` (quantised modules),
:mod:`~matterhorn.models` (whole networks, conversion; importing it registers the Hugging Face Auto classes),
:mod:`~matterhorn.engines` (running), :mod:`~matterhorn.training`, :mod:`~matterhorn.energy`, :mod:`~matterhorn.msu`
(the synapse array), :mod:`~matterhorn.report`.
"""

__version__ = "0.1.0"
