"""Prediction tables, scores, and their uncertainty. Imports no jax."""
