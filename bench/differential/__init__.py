"""Random tables through random pipelines, compared with a truth that is computed without Osiris.

`python -m bench.differential --cases 200 --seed 1`. A case is a table made in Python; a source written by other
libraries or byte by byte; up to two SQL steps, each also implemented in Python; and a target read back by other
libraries. It ends as `equal` or `refused` (with a code). A silent difference is a failure.
"""
