"""Speed and memory, measured beside the PyTorch reference: `python -m fdp_jax.benchmark`."""
