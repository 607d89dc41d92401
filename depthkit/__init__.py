"""Datasets, losses, metrics and training for the depthkit course on monocular depth. Import the modules by name."""
