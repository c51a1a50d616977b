"""Random tables through random pipelines, against a truth that is computed without Osiris.

`python -m bench.differential --cases 200 --seed 1`. A case is a table, made in Python; a source, written by other
people's writers or byte by byte; no, one or two SQL steps, each of which has its meaning in Python too; and a target,
read back by other people's readers. It ends `equal`, `refused` (with a code), or as a silent difference, which fails.
"""
