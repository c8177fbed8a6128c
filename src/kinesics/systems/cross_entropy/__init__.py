"""Plain cross-entropy: the method that every other is measured against.

Label smoothing (Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016) and training on vote distributions
(Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label distribution", ICMI
2016, its "cross-entropy loss" scheme) are options of the same loss.
"""
