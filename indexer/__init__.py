"""Video in, searchable people out."""

__version__ = "0.1.0"
