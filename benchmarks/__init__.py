"""depthkit beside the article's recipe and the authors' code, on the same files, in one run: `python -m benchmarks`."""
