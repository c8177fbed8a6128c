"""Training on the annotators' votes: four ways to teach a network what ten people said of a face.

E. Barsoum, C. Zhang, C. Canton Ferrer, Z. Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", ICMI 2016 (arXiv 1608.01041). Released code: github.com/microsoft/FERPlus.

Where the other systems get one label a face, this one sees the vote shares: among methods on noisy single labels it is
the ceiling, not a competitor.

Map of the text
---------------
p_i the vote shares of sample i, q_i the softmax output, theta the threshold of a label that counts.

=====================================================================  ===========================================
scheme                                                                 function
=====================================================================  ===========================================
majority voting (mv): -log q_{argmax p}                                `losses.majority`
multi-label learning (ml): -log max_k I_theta(p_k) q_k                 `losses.multi_label_loss`
probabilistic label drawing (pld): -log q_s, s ~ p, anew in each       `losses.drawn`
epoch
cross-entropy loss (cel): -sum_k p_k log q_k                           `losses.cross_entropy`
=====================================================================  ===========================================

KL(p || q) = cel - H(p), and H(p) does not depend on the network: minimising the KL divergence is `cel`, gradient by
gradient. The mean KL is logged as "kl" for every scheme.

Presets
-------
`default` is cel, the text's best together with pld, on the backbone and schedule of every other system here; the other
schemes are `--task.scheme`. The text's network (a VGG13 of its own at 64 px) is not among the backbones.

Where the text is silent, or the data differ
--------------------------------------------
- Rows without votes are taught their label, whatever the scheme.
- mv: shares that tie go to the first class of the label order.
- ml: where no share reaches theta, the largest one counts. theta 0.3 is the released code's. The text's formula takes
  the most probable of the labels that count; the released code's targets keep 0.001 for the others, which only bounds
  the loss, and is left out as log-softmax needs no bound.
- pld: drawn in each training step from PyTorch's global generator, which the engine seeds by epoch, step and process.
  An epoch visits a sample once, so it is drawn once an epoch, and the same after a resume.
- The released code drops votes that one person alone gave, and images without a clear majority: that is a choice of
  data, made in the manifest.
- Calibration is on the validation votes, as of `cross_entropy` with `labels` votes.
"""
