"""The version of this package, told here and in pyproject.toml."""

__version__ = "0.1.0"
