"""Image and depth pairs: files, data sets, checks, transforms and batches."""
