"""Scripts that made some of the shipped models, e.g. ``python -m matterhorn.models.derive.base``.

No other code needs this package.
"""
