"""What doorbelld costs and how fresh its pictures are: ``make bench``.

Everything is measured in one run on one machine, together with a bare send loop in C, the common
thread-per-viewer recipe and ustreamer. At the end, the results are compared with the targets.
Figures from different machines, or from different runs on a busy machine, cannot be compared;
ratios within one run can.
"""
