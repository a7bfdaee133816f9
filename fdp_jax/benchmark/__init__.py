"""Speed and memory, measured beside the PyTorch twin: `python -m fdp_jax.benchmark`."""
