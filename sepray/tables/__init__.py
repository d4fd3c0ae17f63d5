"""Published tables with ours beside them: each is data (``studies/tables/``), run as comparisons.

``spec`` says what such a table is, and ``command`` is its entry point. ``forms`` makes a comparison of each part, and
``running`` runs them. ``beside`` puts the figures next to the published ones; ``formats``, ``figures`` and
``iterations`` show them.
"""
