"""Chips: tiles in layers, and the digital parts between them."""
