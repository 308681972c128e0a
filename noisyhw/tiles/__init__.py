"""Tiles: crossbars behind one interface."""
