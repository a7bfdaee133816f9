"""Inference on new videos: reading, face alignment, prediction, the result page, model export."""
