"""From predictions to numbers: protocols, alignment, metrics, baselines and intervals."""
