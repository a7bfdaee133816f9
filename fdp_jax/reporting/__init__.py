"""Reads a work directory and writes its report: JSON, Markdown, HTML, figures. Imports no jax."""
