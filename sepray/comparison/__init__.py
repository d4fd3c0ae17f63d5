"""Several separators on one task: each is a study of its own with the same budget, and one table shows all.

``command`` is the entry point, ``spec`` the description, ``contenders`` lists who takes part, ``running`` runs their
studies and scores them on the test split, ``scoring.statistics`` tests the differences, ``table``, ``formats`` and
``figure`` show them, ``publishing`` writes everything to a folder, MLflow and the terminal.
"""
