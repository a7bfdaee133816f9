"""What `fdp_jax.report` is made of: reading a work directory, summing up, drawing, writing.

Nothing in here imports jax, so a report can be made again on any machine that has the files.
"""
