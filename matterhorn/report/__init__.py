"""Presentation of results: tables, plots, pages."""
