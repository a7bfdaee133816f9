"""From folds to trained networks and their predictions on disk."""
