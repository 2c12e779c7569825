"""Reports: a run or a comparison as one HTML file that needs nothing else."""
