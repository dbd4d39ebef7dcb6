"""Faces in, weights out; may import indexer, never the reverse."""
