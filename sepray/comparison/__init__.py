"""Several separators on one task: each is a study of its own with the same budget, and one table shows all.

``command`` is the entry point, and ``spec`` the description, whose ``--separators`` ``separators_flag`` reads.
``contenders`` lists the separators that take part. ``running`` runs their studies and scores them on the test split;
``imported`` reads other people's results. ``table`` has the figures, with the tests of ``scoring.many_systems``;
``formats`` and ``figure`` show them. ``publishing`` writes everything to a folder, MLflow and the terminal. ``dry_run``
estimates what a comparison takes.
"""
