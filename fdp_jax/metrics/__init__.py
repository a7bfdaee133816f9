"""From the table of predictions to every number, and what a number is worth; without jax."""
