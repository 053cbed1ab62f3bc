"""Running a recipe: the Lightning engine, checkpoints that hold no code, and the folder of a run."""
