"""How models came in that were trained elsewhere: ``python -m matterhorn.models.derive.base``. No other code needs this
room."""
