"""Benches: speed and memory as ratios to a peer or a limit, in one run; identity against truth."""
