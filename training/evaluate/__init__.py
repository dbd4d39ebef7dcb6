"""Honest numbers for what the indexer and its weights do."""
