"""GLUE tasks, recipes, fine-tuning and distillation. Every setting of a run is in its recipe file."""
