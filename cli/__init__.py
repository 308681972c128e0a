"""The noisyhw command line."""
