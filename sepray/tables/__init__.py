"""Published tables with ours beside them: each is data (``studies/tables/``), run as comparisons.

``spec`` says what such a table is, ``command`` is its entry point, ``running`` makes a comparison of each part and runs
it, ``beside`` puts the figures next to the published ones, ``formats`` and ``figures`` write them.
"""
