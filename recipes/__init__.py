"""The recipes: one YAML file each, shipped as the package `seqlab.recipes`."""
