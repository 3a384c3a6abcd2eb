"""Widgets of the line API."""
