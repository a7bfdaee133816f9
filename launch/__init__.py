"""Folds over GPUs and machines, by Ray."""

import fdp_jax  # noqa: F401  checks the machine before the first third-party import
