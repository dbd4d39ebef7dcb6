"""Network definitions and weight files, nothing else."""
