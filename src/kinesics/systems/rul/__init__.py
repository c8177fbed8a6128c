"""RUL, Relative Uncertainty Learning: two faces' features, mixed by their uncertainties, must show both labels.

Y. Zhang, C. Wang, W. Deng, "Relative Uncertainty Learning for Facial Expression Recognition", NeurIPS 2021. Released
code: github.com/zyh-uaiaaaa/Relative-Uncertainty-Learning.

Map of the text
---------------
Two branches on the backbone give features mu (V numbers) and uncertainties sigma (V numbers) of a face; u is sigma's
mean. Pairs (i, j) come from shuffling the batch.

=====================================================================  ===========================================
equation                                                               function
=====================================================================  ===========================================
mu, sigma = exp(log sigma)                                             `model.Branch`, `task.RUL.encode`
u = mean_v sigma_v                                                     `losses.uncertainty_value`
mu_ij = (u_i mu_i + u_j mu_j) / (u_i + u_j)                            `losses.mix`
L = 1/2 (CE(W mu_ij, y_i) + CE(W mu_ij, y_j)), the add-up loss         `losses.add_up_loss`
=====================================================================  ===========================================

Which way the weights go: the MORE uncertain of two gets the LARGER share. To show both labels, a mixture needs more of
the face that is hard to read, so the network learns a large u for hard faces; with the weights the other way round it
would learn certainty instead. This is the released code's formula.

An answer is made of mu alone, at the cost of one small layer. Its `uncertainty` is u / (1 + u), in [0, 1): the share
that the face would get in a mixture with one of u = 1; u itself has no upper end. `samples.csv` has it for every
training sample, by the finished model.

Presets
-------
`default`: branches on the pooled features, as every backbone has them. `release` follows the released code for RAF-DB:

==============================  ==========================================================================
option                          what the released code does
==============================  ==========================================================================
branch maps                     the branches see the flattened feature maps: 512 x 7 x 7 numbers
dropout 0.4                     in front of both branches' linear layers (default: 0.4, too)
fit.*                           Adam at 2e-4, times 0.9 after each of 60 epochs, batches of 64
==============================  ==========================================================================

Not reproduced: the classifier's ten times higher rate (one rate here); picking the epoch on the test set; pre-training
on MS-Celeb-1M (`--weights FILE` starts from any weights); Gaussian noise as augmentation.

Where the text is silent
------------------------
- Pairs: any two of the batch, a sample with itself included, as released. Each process and each micro-batch shuffles
  its own part.
- V: 64, the released code's.
- Normalisation: batch normalisation without gain in front of each branch and with gain behind it, as released: so
  log sigma starts with mean 0 and deviation 1.
- With vote targets or smoothing, CE is to those.
"""
