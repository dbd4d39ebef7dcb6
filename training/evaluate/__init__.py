"""Evaluation of the indexer and its weights against ground truth."""
