"""What doorbelld costs and how fresh its pictures are: ``make bench``.

Everything is measured in one run on one machine, against a bare send loop in C, the common
thread-per-viewer recipe and ustreamer, and held against the targets at the end. Figures of
different machines, or of different runs on a busy one, do not compare; ratios in one run do.
"""
