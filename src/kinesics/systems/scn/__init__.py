"""SCN, the Self-Cure Network: a weight for every sample, samples ranked by it, and doubtful labels replaced.

K. Wang, X. Peng, J. Yang, S. Lu, Y. Qiao, "Suppressing Uncertainties for Large-Scale Facial Expression Recognition",
CVPR 2020 (arXiv 2002.10392). Released code: github.com/kaiwang960112/Self-Cure-Network.

Map of the text
---------------
x_i features of sample i of N in a batch, W_j the classifier's row of class j, y_i its label.

=====================================================================  ===========================================
equation                                                               function
=====================================================================  ===========================================
alpha_i = sigmoid(W_a^T x_i)                                           `task.SCN.importance_and_logits`
L_WCE = -1/N sum_i log(e^(alpha_i W_yi^T x_i) / sum_j e^(alpha_i       `losses.weighted_cross_entropy`
W_j^T x_i))
the M = beta N samples of highest alpha, and the other N - M           `losses.high_importance`
L_RR = max(0, delta_1 - (alpha_H - alpha_L)), the groups' means        `losses.rank_regularisation`
L = gamma L_RR + (1 - gamma) L_WCE, gamma = 0.5                        `task.SCN.training_step` (twice that)
y' = l_max if P_max - P_gtInd > delta_2, else l_org                    `losses.relabel`
=====================================================================  ===========================================

The loss is L_WCE + rank_weight L_RR: with rank_weight 1 it is twice the text's, which gives plain cross-entropy the
scale that it has in every other system, and is what the released code minimises.

Presets
-------
`default` is the text's method on the backbone, input and schedule of every other system here. `paper` adds its
settings for RAF-DB (ResNet-18, 224 px, 40 epochs with steps at 15 and 30, relabelling from the 10th epoch; SGD, as
its rate of 0.1 suggests). `release` follows the released code where that differs:

==============================  ==========================================================================
option                          what the released code does instead of the text
==============================  ==========================================================================
relabel_group all               every sample of the batch may be relabelled, not the low-importance group only
fit.*                           Adam at 0.001, times 0.9 after each of 70 epochs
==============================  ==========================================================================

Not reproduced: it picks the epoch on the test set (here: on validation); Gaussian noise as augmentation; its ImageNet
weights (`--weights FILE` starts from them).

Where the text is silent
------------------------
- What an answer is made of: alpha_i W^T x_i, as in the released code, so training and answers agree; the label is the
  same without alpha.
- Relabelling compares with the label as it stands, and may change it again (or back): as released.
- When relabelling starts in a schedule of another length: after a quarter of the epochs (10 of the text's 40):
  `relabel_share`, unless `relabel_epoch` names an epoch.
- The classifier's bias is multiplied by alpha, too: as released.
- The learnt margin (`learn_margin`): its gradient inside L_RR is never negative, so it can only shrink, towards 0.
- Several processes: the batch is ranked as a whole, over all of them, as one process would. Micro-batches
  (`--fit.accumulate`) are ranked each by itself.

State
-----
`sample_label` (-1: as given) and `sample_importance` (alpha when last drawn, 0: never) are local, by sample id: they
are in the checkpoint, and in a federation they never leave the silo.
"""
