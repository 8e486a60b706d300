"""How models were imported that had been trained elsewhere: ``python -m matterhorn.models.derive.base``.

No other code needs this package.
"""
