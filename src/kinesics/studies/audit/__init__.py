"""Which labels of a data set are probably wrong: evidence, its combination, the gallery and the review.

evidence.py   what a finished run, K folds of its recipe and its feature space say of each training sample
signals.py    each of that as a number against the given label
study.py      all together, by Bayes' rule (`kinesics.metrics.label_noise`): the ranking, audit.csv
gallery.py    the ranking as one HTML page: look, decide by keyboard, export
decisions.py  decisions.csv: read, checked, written
review.py     what decisions make of a manifest
server.py     the page on this machine, each decision saved at once
"""
