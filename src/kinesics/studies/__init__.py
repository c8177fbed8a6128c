"""Studies over trainings: which labels of a data set are wrong, and what else takes more than one run to know.

They know no system by name: a run directory, a recipe or a `Task` class is what they are handed.
"""
