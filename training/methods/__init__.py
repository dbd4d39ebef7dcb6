"""One file for each method: what is trained, on which batches, by which loss."""
