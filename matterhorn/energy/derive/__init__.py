"""How the figures of derived chips were found.

``python -m matterhorn.energy.derive.rram_22nm`` (extra ``chips``) and ``…derive.neurosim_22nm`` (extra ``chips-nc``)
each write the JSON file next to them. No other code needs this package.
"""
