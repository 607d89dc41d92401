"""What the notebooks need and the kit does not: the sample, the machine, tables and figures."""
